"""Commands of Flight SQL as bytes, for what drivers do not ask: their messages have no Python package."""

from google.protobuf import any_pb2
from pyarrow import flight

PREFIX = "type.googleapis.com/arrow.flight.protocol.sql."


def varint(number):
    head = []
    while number > 0x7F:
        head.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*head, number])


def of_length(content):
    """Field 1 of a message: a text, bytes, or numbers."""
    return b"\x0a" + varint(len(content)) + content


def packed(name, content=b""):
    return any_pb2.Any(type_url=PREFIX + name, value=content).SerializeToString()


def command(name, content=b""):
    return flight.FlightDescriptor.for_command(packed(name, content))


def query(sql):
    return command("CommandStatementQuery", of_length(sql.encode()))


def sql_info(client, ids=()):
    """The infos of these ids, of all if there are none, with the name of each value's type."""
    content = of_length(b"".join(map(varint, ids))) if ids else b""
    info = client.get_flight_info(command("CommandGetSqlInfo", content))
    table = client.do_get(info.endpoints[0].ticket).read_all()
    found = {}
    for batch in table.to_batches():
        names, values = batch.column("info_name").to_pylist(), batch.column("value")
        for place, name in enumerate(names):
            found[name] = (values.type.field(values.type_codes[place].as_py()).name, values[place].as_py())
    return found


def prepare(client, sql):
    """The handle of a prepared statement."""
    body = packed("ActionCreatePreparedStatementRequest", of_length(sql.encode()))
    [result] = client.do_action(flight.Action("CreatePreparedStatement", body))
    content = any_pb2.Any.FromString(result.body.to_pybytes()).value
    assert content[0] == 0x0A and content[1] < 0x80
    return content[2 : 2 + content[1]]

"""Corrections and the identity graph, by a client that knows the services by reflection only."""

import json
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from conftest import WEB_AND_TILL, Project
from serving import serving, wait_for
from test_grpc import Client

FILE = """
[[never_link]]
identifiers = ["user_id:cem", "email:cem@example.com"]
by = "Jo"
at = 2026-11-25
reason = "not his address"
"""


def call(number, ids):
    return json.dumps({"type": "track", "event": "Seen", "messageId": f"m{number}", "timestamp": f"2026-05-0{number}T10:00:00Z"} | ids)


def identifier(text):
    namespace, _, value = text.partition(":")
    return {"namespace": namespace, "value": value}


def pair(a, b):
    return {"a": identifier(a), "b": identifier(b)}


@pytest.fixture
def couple(binary, tmp_path):
    """Ada and Bob share a tablet, and were made one person by it."""
    project = Project(binary, tmp_path / "couple", WEB_AND_TILL)
    calls = [
        call(1, {"userId": "ada", "anonymousId": "tablet"}),
        call(2, {"userId": "bob", "anonymousId": "tablet"}),
        call(3, {"userId": "ada", "anonymousId": "phone"}),
        call(4, {"userId": "cem", "anonymousId": "tv"}),
    ]
    project.ingest("web", project.write("calls.ndjson", "\n".join(calls)))
    project.refresh()
    return project


def people(client):
    ids = {name: client.call("ProfileService/GetProfile", {"identifier": identifier(f"user_id:{name}")})["profile"]["profileId"] for name in ("ada", "bob")}
    return ids["ada"], ids["bob"]


def run_refresh(client, **options):
    started = client.call("RefreshService/RunRefresh", options)["refresh"]
    return list(client.call("RefreshService/WatchRefresh", {"refreshId": started["refreshId"]}))[-1]["refresh"]


def refresh(client, **options):
    last = run_refresh(client, **options)
    assert last["state"] == "REFRESH_STATE_PUBLISHED", last
    return int(last["generation"])


def test_two_are_made_of_one_and_one_again(couple):
    with serving(couple) as server:
        server.wait_until_ready()
        client = Client(server.address)
        ada, bob = people(client)
        assert ada == bob
        apart = pair("user_id:bob", "user_id:ada") | {"decidedBy": "Jo, customer service", "reason": "a couple with one tablet"}
        added = client.call("IdentityService/AddCorrection", apart | {"verdict": "VERDICT_NEVER"})["correction"]
        assert (added["a"], added["b"], added["isOfProject"]) == (identifier("user_id:ada"), identifier("user_id:bob"), False)
        assert people(client) == (ada, bob), "it takes a refresh"
        refused = client.refused("IdentityService/AddCorrection", apart | {"verdict": "VERDICT_ALWAYS"})
        assert refused[:2] == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")

        generation = refresh(client)
        wait_for(lambda: int(client.call("ProfileService/GetProfile", {"identifier": identifier("user_id:ada")})["generation"]["number"]) >= generation, "the refresh is served")
        ada, bob = people(client)
        assert ada != bob
        explained = client.call("ProfileService/ExplainIdentity", pair("user_id:ada", "user_id:bob"))
        assert "a correction keeps user_id:ada and user_id:bob apart" in [link.get("droppedReason") for link in explained["links"]]
        [kept] = client.call("IdentityService/ListCorrections")["corrections"]
        assert kept == added

        one = pair("user_id:ada", "user_id:ada") | {"removedBy": "Jo", "reason": "a mistake"}
        assert client.refused("IdentityService/RemoveCorrection", one)[0] == grpc.StatusCode.INVALID_ARGUMENT
        client.call("IdentityService/RemoveCorrection", pair("user_id:ada", "user_id:bob") | {"removedBy": "Jo", "reason": "a mistake"})
        assert client.call("IdentityService/ListCorrections")["corrections"] == []
        generation = refresh(client)
        wait_for(lambda: int(client.call("ProfileService/GetProfile", {"identifier": identifier("user_id:ada")})["generation"]["number"]) >= generation, "the refresh is served")
        ada, bob = people(client)
        assert ada == bob
    logged = couple.sql("select verdict, a, b, changed_by, reason from ops.corrections order by correction_id")
    assert [(row["verdict"], row["changed_by"], row["reason"]) for row in logged] == [
        ("never", "Jo, customer service", "a couple with one tablet"), (None, "Jo", "a mistake")]
    changes = couple.sql("select change, count(*) as n from identity.changes where generation > 1 group by 1 order by 1")
    assert {row["change"] for row in changes} == {"split", "merge"}


def test_corrections_come_in_pages(couple):
    with serving(couple) as server:
        server.wait_until_ready()
        client = Client(server.address)
        for name in ("cem", "bob", "ada", "dot"):
            words = {"verdict": "VERDICT_NEVER", "decidedBy": "Jo", "reason": "r" * 4096}
            client.call("IdentityService/AddCorrection", pair(f"user_id:{name}", "anonymous_id:tv") | words)
        first = client.call("IdentityService/ListCorrections", {"pageSize": 3})
        second = client.call("IdentityService/ListCorrections", {"pageSize": 3, "pageToken": first["nextPageToken"]})
        assert [len(page["corrections"]) for page in (first, second)] == [3, 1] and not second["nextPageToken"]
        names = [correction["a"]["value"] for page in (first, second) for correction in page["corrections"]]
        assert names == ["ada", "bob", "cem", "dot"]
        for wrong in ({"pageSize": 501}, {"pageToken": "x"}):
            assert client.refused("IdentityService/ListCorrections", wrong)[0] == grpc.StatusCode.INVALID_ARGUMENT
        long = pair("user_id:eve", "anonymous_id:tv") | {"verdict": "VERDICT_NEVER", "decidedBy": "Jo", "reason": "r" * 4097}
        assert client.refused("IdentityService/AddCorrection", long)[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_the_file_has_the_last_word(couple):
    couple.write("corrections.toml", FILE)
    with serving(couple) as server:
        server.wait_until_ready()
        client = Client(server.address)
        [listed] = client.call("IdentityService/ListCorrections")["corrections"]
        assert listed["isOfProject"] and listed["verdict"] == "VERDICT_NEVER" and listed["decideTime"].startswith("2026-11-25")
        of_file = pair("user_id:cem", "email:CEM@example.com ")
        said = {"decidedBy": "Jo", "reason": "x"}
        with pytest.raises(grpc.RpcError) as error:
            client.call("IdentityService/AddCorrection", of_file | said | {"verdict": "VERDICT_ALWAYS"})
        assert error.value.code() == grpc.StatusCode.ALREADY_EXISTS and "corrections.toml:2" in error.value.details()
        refused = client.refused("IdentityService/RemoveCorrection", of_file | {"removedBy": "Jo", "reason": "x"})
        assert refused[0] == grpc.StatusCode.FAILED_PRECONDITION
        never = said | {"verdict": "VERDICT_NEVER"}
        for request, why, fields in [
            (of_file | said, "INPUT_INVALID", ["verdict"]),
            (pair("user_id:a", "email:not an address") | never, "IDENTIFIER_INVALID", ["b"]),
            ({"b": identifier("user_id:a")} | never, "IDENTIFIER_INVALID", ["a"]),
            (pair("user_id:a", "email:") | never, "IDENTIFIER_INVALID", ["b"]),
            ({"a": identifier("user_id:a"), "b": {"namespace": "user_id:x", "value": "y"}} | never, "IDENTIFIER_INVALID", ["b"]),
            (pair("user_id:a", "user_id:a") | never, "INPUT_INVALID", []),
            (pair("user_id:a", "user_id:b") | {"verdict": "VERDICT_NEVER", "decidedBy": "Jo"}, "INPUT_INVALID", ["reason"]),
        ]:
            code, reason, wrong = client.refused("IdentityService/AddCorrection", request)
            assert (code, reason, wrong) == (grpc.StatusCode.INVALID_ARGUMENT, why, fields), request
        one = client.refused("ProfileService/ExplainIdentity", {"a": identifier("user_id:ada")})
        assert one == (grpc.StatusCode.INVALID_ARGUMENT, "IDENTIFIER_INVALID", ["b"])
        # It would be read as another one, of `user_id`.
        colon = {"namespace": "user_id:x", "value": "y"}
        for method, request, field in [
            ("IdentityService/RemoveCorrection", {"a": colon, "b": identifier("user_id:a"), "removedBy": "Jo", "reason": "x"}, "a"),
            ("ProfileService/ExplainIdentity", {"a": identifier("user_id:ada"), "b": colon}, "b"),
            ("ProfileService/GetProfile", {"identifier": colon}, "identifier"),
        ]:
            assert client.refused(method, request) == (grpc.StatusCode.INVALID_ARGUMENT, "IDENTIFIER_INVALID", [field]), method
        absent = client.refused("IdentityService/RemoveCorrection", pair("user_id:x", "user_id:y") | {"removedBy": "Jo", "reason": "x"})
        assert absent[:2] == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
        # A file that cannot be used is nothing that the caller said.
        couple.write("corrections.toml", FILE.replace("email:cem@example.com", "email:nothing"))
        for method, request in [("ListCorrections", {}), ("AddCorrection", pair("user_id:ada", "anonymous_id:tv") | never)]:
            assert client.refused(f"IdentityService/{method}", request)[0] == grpc.StatusCode.FAILED_PRECONDITION


def test_of_many_who_decide_at_once_one_does(couple):
    with serving(couple) as server:
        server.wait_until_ready()
        said = pair("user_id:ada", "user_id:bob") | {"decidedBy": "Jo", "reason": "a tablet"}

        def decide(verdict):
            try:
                Client(server.address).call("IdentityService/AddCorrection", said | {"verdict": verdict})
                return "done"
            except grpc.RpcError as error:
                return error.code()

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(decide, ["VERDICT_NEVER", "VERDICT_ALWAYS"] * 4))
        assert answers.count("done") == 1 and answers.count(grpc.StatusCode.ALREADY_EXISTS) == 7, answers
        assert len(Client(server.address).call("IdentityService/ListCorrections")["corrections"]) == 1


def test_a_correction_can_be_taken_back_by_other_rules_than_it_was_made_by(couple):
    said = pair("user_id:ada", "anonymous_id:TABLET")
    with serving(couple) as server:
        server.wait_until_ready()
        Client(server.address).call("IdentityService/AddCorrection", said | {"verdict": "VERDICT_NEVER", "decidedBy": "Jo", "reason": "x"})
    # Now the other one is more trusted, and its case does not matter.
    namespaces = '[{ name = "anonymous_id", normalize = "lowercase", cookie = false }, { name = "user_id" }]'
    sources, _, _ = (couple.folder / "tessera.toml").read_text().partition("[identity]")
    couple.write("tessera.toml", f"{sources}[identity]\nnamespaces = {namespaces}\n")
    with serving(couple) as server:
        server.wait_until_ready()
        client = Client(server.address)
        [kept] = client.call("IdentityService/ListCorrections")["corrections"]
        assert (kept["a"], kept["b"]) == (identifier("anonymous_id:tablet"), identifier("user_id:ada"))
        client.call("IdentityService/RemoveCorrection", said | {"removedBy": "Jo", "reason": "y"})
        assert client.call("IdentityService/ListCorrections")["corrections"] == []


def test_a_correction_of_what_is_blocked_by_now_is_listed_and_can_be_taken_back(couple):
    said = pair("user_id:ada", "anonymous_id:tablet")
    with serving(couple) as server:
        server.wait_until_ready()
        Client(server.address).call("IdentityService/AddCorrection", said | {"verdict": "VERDICT_NEVER", "decidedBy": "Jo", "reason": "x"})
    couple.write("tessera.toml", (couple.folder / "tessera.toml").read_text() + '\nblocked = ["tablet"]\n')
    with serving(couple) as server:
        server.wait_until_ready()
        client = Client(server.address)
        refresh(client)
        [kept] = client.call("IdentityService/ListCorrections")["corrections"]
        assert (kept["a"], kept["b"]) == (said["a"], said["b"])
        client.call("IdentityService/RemoveCorrection", said | {"removedBy": "Jo", "reason": "y"})
        assert client.call("IdentityService/ListCorrections")["corrections"] == []


def test_a_report_knows_an_applied_correction_whatever_the_order_of_namespaces(couple):
    said = pair("user_id:ada", "anonymous_id:tablet")
    with serving(couple) as server:
        server.wait_until_ready()
        Client(server.address).call("IdentityService/AddCorrection", said | {"verdict": "VERDICT_NEVER", "decidedBy": "Jo", "reason": "x"})

    def not_applied():
        _, found, rest = couple.run("identity", "report").stdout.partition("Corrections by calls that are not applied")
        assert found
        return rest.split("\n\n")[0]

    assert "user_id:ada" in not_applied(), "it takes a refresh"
    sources, _, _ = (couple.folder / "tessera.toml").read_text().partition("[identity]")
    couple.write("tessera.toml", f'{sources}[identity]\nnamespaces = [{{ name = "anonymous_id", cookie = false }}, {{ name = "user_id" }}]\n')
    couple.refresh()
    [applied] = couple.sql("select a, b from identity.corrections")
    assert applied == {"a": "anonymous_id:tablet", "b": "user_id:ada"}
    assert not_applied().endswith("\nnone")


def test_too_many_merges_need_a_word(couple):
    configuration = couple.folder / "tessera.toml"
    configuration.write_text(configuration.read_text() + "\nmerges_max_share = 0.1\n")
    assert "A refresh would stop" not in couple.run("identity", "simulate").stdout
    couple.ingest("web", couple.write("tv.ndjson", call(5, {"userId": "ada", "anonymousId": "tv"})))
    simulated = couple.run("identity", "simulate").stdout
    assert "A refresh would stop" in simulated and "1 of 2 profiles would be merged into others (50.0 %)" in simulated, simulated
    with serving(couple) as server:
        server.wait_until_ready()
        client = Client(server.address)
        failed = run_refresh(client)
        assert failed["state"] == "REFRESH_STATE_FAILED", failed
        assert "1 of 2 profiles would be merged into others (50.0 %)" in failed["error"]
        assert "`RunRefresh` with `allow_merges`" in failed["error"]
        assert refresh(client, allowMerges=True) == 2


def test_an_anonymous_id_that_is_not_declared_names_nobody_who_has_anything_else(binary, tmp_path):
    sources, _, _ = WEB_AND_TILL.partition("[identity]")
    project = Project(binary, tmp_path / "cookies", sources + '[identity]\nnamespaces = [{{ name = "email", normalize = "email" }}]\n')
    calls = [call(1, {"anonymousId": "laptop"}), call(2, {"userId": "ada", "anonymousId": "laptop"})]
    project.ingest("web", project.write("calls.ndjson", "\n".join(calls)))
    project.refresh()
    assert project.sql("select distinct profile_id = profile_id('user_id:ada') as is_hers from identity.identities") == [{"is_hers": True}]
    assert project.value("select namespace from staging.events where event_id = 'm2'") == "user_id"


def test_a_person_by_the_id_of_a_profile(couple):
    couple.ingest("web", couple.write("radio.ndjson", call(5, {"anonymousId": "radio"})))
    couple.refresh()
    visitor = couple.value("select profile_id from identity.identities where value = 'radio'")
    assert couple.run("profile", visitor).stdout == couple.run("profile", "anonymous_id:radio").stdout
    couple.ingest("web", couple.write("login.ndjson", call(6, {"userId": "cem", "anonymousId": "radio"})))
    couple.refresh()
    cem = couple.run("profile", "user_id:cem").stdout
    assert couple.run("profile", visitor).stdout == cem, "the id that is no more leads to who it is now"
    assert couple.run("profile", couple.value("select profile_id from identity.identities where value = 'cem'")).stdout == cem
    assert f"nobody has the id `{'0' * 26}`" in couple.refused("profile", "0" * 26)
    assert "the identifier has no namespace: write namespace:value" in couple.refused("profile", "cem")


def test_an_identifier_that_cannot_be_used_says_which_and_why(couple):
    for arguments, why in [
        (["user_id:null"], "the identifier, of `user_id`, is blocked"),
        (["user_id:cem", "--why", "user_id:null"], "the identifier after --why, of `user_id`, is blocked"),
        (["email:nothing", "--why", "user_id:cem"], "the first identifier, of `email`, is no e-mail address"),
    ]:
        assert why in couple.refused("profile", *arguments)


def test_a_link_that_only_an_earlier_version_has_is_kept(binary, tmp_path):
    cards = '''
[[source]]
name = "cards"
format = "csv"
touchpoint = "crm"
key = "card"
identifiers = {{ customer_id = "card", email = "email" }}
keep_links = true
'''
    sources, identity, rules = WEB_AND_TILL.partition("[identity]")
    project = Project(binary, tmp_path / "cards", sources + cards + identity + rules)
    for name in ["old", "new"]:
        project.ingest("cards", project.write(f"{name}.csv", f"card,email\n7,{name}@example.com\n"))
        project.refresh()
    for printed in [project.run("profile", "customer_id:7").stdout, project.run("profile", "email:old@example.com", "--why", "email:new@example.com").stdout]:
        assert "| customer_id:7 | email:old@example.com | kept |" in printed, printed
        assert "| customer_id:7 | email:new@example.com | 1    |" in printed, printed


def test_the_graph_of_a_profile(couple):
    with serving(couple) as server:
        server.wait_until_ready()
        client = Client(server.address)
        graph = client.call("ProfileService/GetIdentityGraph", {"identifier": identifier("anonymous_id:tablet")})
        nodes = {f"{known['identifier']['namespace']}:{known['identifier']['value']}" for known in graph["identifiers"]}
        assert nodes == {"user_id:ada", "user_id:bob", "anonymous_id:tablet", "anonymous_id:phone"}
        links = {(f"{link['a']['namespace']}:{link['a']['value']}", f"{link['b']['namespace']}:{link['b']['value']}") for link in graph["links"]}
        assert links == {("user_id:ada", "anonymous_id:tablet"), ("user_id:bob", "anonymous_id:tablet"), ("user_id:ada", "anonymous_id:phone")}
        assert all(link["sources"] == ["web"] and "droppedReason" not in link for link in graph["links"])
        assert client.call("ProfileService/GetIdentityGraph", {"profileId": graph["profileId"]}) == graph
        assert client.refused("ProfileService/GetIdentityGraph", {"profileId": "nobody"})[:2] == (grpc.StatusCode.NOT_FOUND, "PROFILE_NOT_FOUND")
        assert client.refused("ProfileService/GetIdentityGraph")[0] == grpc.StatusCode.INVALID_ARGUMENT

"""Skewed, repetitive identity links as Parquet: people with devices, logins, addresses and telephones.

    generate.py PEOPLE ROWS FILE [--seed N] [--conflicts SHARE]

Each row is a device seen together with a login, an address or a telephone of its owner. The same PEOPLE have the same
devices whatever the seed. With `--conflicts` the file has other rows instead: of the people whom the same seed gives a
login, that share lent a device to somebody of another such share, who logged in on it.
"""

import argparse

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=int)
    parser.add_argument("rows", type=int)
    parser.add_argument("file")
    parser.add_argument("--seed", type=int, default=8)
    parser.add_argument("--conflicts", type=float)
    arguments = parser.parse_args()
    people, rows = arguments.people, arguments.rows

    devices = 1 + np.random.default_rng(7).poisson(1.2, people)
    first_device = np.concatenate([[0], np.cumsum(devices)])
    rng = np.random.default_rng(arguments.seed)
    person = (rng.pareto(1.3, rows) * people * 0.02).astype(np.int64) % people
    person = (person * 2654435761) % people
    device = first_device[person] + rng.integers(0, 1 << 30, rows) % devices[person]
    owner, kind = person, rng.random(rows)
    if arguments.conflicts:
        seen, first = np.unique(np.where(kind < 0.7, person, -1), return_index=True)
        first = rng.permutation(first[seen >= 0])
        rows = int(len(first) * arguments.conflicts)
        device, owner, kind = device[first[:rows]], person[first[rows:2 * rows]], np.zeros(rows)
    text = owner.astype("U10")
    other = np.where(kind < 0.7, np.char.add("u", text),
                     np.where(kind < 0.9, np.char.add(np.char.add("e", text), "@x.com"), np.char.add("t", text)))
    namespace = np.where(kind < 0.7, "user_id", np.where(kind < 0.9, "email", "phone"))
    pq.write_table(pa.table({
        "a_namespace": pa.array(["anonymous_id"] * rows).dictionary_encode(),
        "a_value": pa.array(np.char.add("d", device.astype("U10"))),
        "b_namespace": pa.array(namespace).dictionary_encode(),
        "b_value": pa.array(other),
        "seen_at": pa.array(rng.integers(1_600_000_000, 1_750_000_000, rows)),
    }), arguments.file, compression="zstd", row_group_size=1 << 20)


if __name__ == "__main__":
    main()

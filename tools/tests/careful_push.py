"""What a push leaves alone. For every combination of flags, over directories and NDJSON: --dry-run changes nothing
and says what the push then does, and what the push leaves is what the flags say. Guards stop before the first
deletion, with both numbers; excluded things are neither sent nor deleted; an empty SOURCE makes a keyspace.
"""

import itertools
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from cutting_proxy import CuttingProxy
from streamdiff_tools import Server, keyspace, main, require, run, run_json, scratch, status

EXCLUDE = ["--exclude", "*.log", "--exclude", "/cache/", "--exclude", "deep/**/x[0-9]"]


def excluded(path):
    """What EXCLUDE matches, said otherwise."""
    parts = path.split("/")
    return (
        any(part.endswith(".log") for part in parts)
        or parts[0] == "cache" and len(parts) > 1
        or parts[0] == "deep" and any(len(part) == 2 and part[0] == "x" and part[1].isdigit() for part in parts[1:])
    )


OLD = {
    **{f"same/{n}": f"same {n}" for n in range(12)},
    **{f"changed/{n}": f"old {n}" * 5000 for n in range(3)},
    **{f"gone/{n}": f"gone {n}" for n in range(4)},
    "gone/kept.log": "only the keyspace has it", "gone/far/away/deep.log": "and this",
    "cache/a": "1", "cache/b/c": "2", "deep/x1": "3", "deep/y/x2/z": "4", "deep/y/xx": "5", "both.log": "old",
}
NEW = {
    **{f"same/{n}": f"same {n}" for n in range(12)},
    **{f"changed/{n}": f"new {n}" * 5000 for n in range(3)},
    **{f"added/{n}": f"added {n}" for n in range(5)},
    "added/new.log": "x", "cache/a": "other", "deep/y/xx": "5", "deep/y/x9": "new", "both.log": "new",
}
FEW = {"same/1": "same 1", "both.log": "new", "cache/a": "1"}


def write(content, path, kind):
    if kind == "plain":
        path.write_text("".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in content.items()))
        return path
    for name, text in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    path.mkdir(exist_ok=True)
    return path


def read(server, name, kind, work):
    """What a pull brings: that it can be pulled at all says that files and records fit each other."""
    place = work / f"pulled-{name}"
    run("pull", place, "--keyspace", name, server=server)
    if kind == "plain":
        return {line["key"]: line["value"] for line in map(json.loads, place.read_text().splitlines())}
    return {str(p.relative_to(place)): p.read_text() for p in place.rglob("*") if p.is_file()}


def expected(old, new, flags):
    leave = excluded if "--exclude" in flags else lambda path: False
    result = {path: text for path, text in new.items() if not leave(path)}
    for path, text in old.items():
        if path not in result and (leave(path) or "--no-delete" in flags):
            result[path] = text
    return result


def counts(result):
    return {name: result[name] for name in ("mode", "entries_total", "entries_changed", "entries_deleted", "conflicts")}


def combinations(server, work):
    done = 0
    deletions = ([], ["--no-delete"], ["--delete-anyway"])
    for kind, size in itertools.product(("directory", "plain"), ("new", "few")):
        old, new = OLD, NEW if size == "new" else FEW
        first = write(old, work / f"old-{kind}-{size}", kind)
        second = write(new, work / f"new-{kind}-{size}", kind)
        for delete, force, exclude in itertools.product(deletions, ([], ["--force"]), ([], EXCLUDE)):
            if force and size == "few":
                continue
            flags = [*delete, *force, *exclude]
            name = f"c{done}"
            run("push", first, "--keyspace", name, server=server)
            before = status(server)
            told = run("push", second, "--keyspace", name, "--dry-run", "--json", *flags, server=server, codes=(0, 5))
            after = status(server)
            require(before["applied"] == after["applied"], f"{flags}: a dry run changed the log: {before} {after}")
            require(keyspace(server, name) == next(k for k in before["keyspaces"] if k["name"] == name),
                    f"{flags}: a dry run changed the keyspace")
            made = run("push", second, "--keyspace", name, "--json", *flags, server=server, codes=(0, 5))
            where = f"{kind} {size} {' '.join(flags)}"
            require(told.returncode == made.returncode, f"{where}: dry run {told}, push {made}")
            goal = expected(old, new, flags)
            going = set(old) - set(goal)
            stops = not delete and 2 * len(going) > len(old)
            require(stops == (made.returncode == 5), f"{where}: {len(going)} of {len(old)} go: {made}")
            there = read(server, name, kind, work)
            if stops:
                for text in (told.stderr, made.stderr):
                    require(f"{len(going)} of the {len(old)} " in text and "--delete-anyway" in text,
                            f"{where}: the numbers are not named: {text}")
                require(all(path in there for path in old), f"{where}: something was deleted")
            else:
                require(counts(json.loads(told.stdout)) == counts(json.loads(made.stdout)),
                        f"{where}: said {told.stdout}, did {made.stdout}")
                require(there == goal, f"{where}: unexpected {set(there) ^ set(goal)}, of one content "
                        f"{[p for p in goal if there.get(p) != goal[p]]}")
                require(json.loads(made.stdout)["entries_deleted"] == len(going), f"{where}: {made.stdout}")
            done += 1
    return done


def guards(server, work):
    rows = [
        # kept, there, flags, exit
        (5, 10, [], 0), (4, 10, [], 5), (4, 10, ["--delete-anyway"], 0), (4, 10, ["--no-delete"], 0),
        (0, 1, [], 5), (0, 1, ["--delete-anyway"], 0), (0, 10, [], 5), (1, 2, [], 0), (0, 10, ["--no-delete"], 0),
    ]
    for number, (kind, (kept, there, flags, code)) in enumerate(itertools.product(("directory", "plain"), rows)):
        name = f"g{number}"
        old = {f"f{n}": f"{name} {n}" for n in range(there)}
        run("push", write(old, work / f"{name}-old", kind), "--keyspace", name, server=server)
        source = write(dict(list(old.items())[:kept]), work / f"{name}-new", kind)
        for dry in (["--dry-run"], []):
            done = run("push", source, "--keyspace", name, *flags, *dry, server=server, codes=None)
            where = f"{kind}: {kept} of {there} kept {flags} {dry}"
            require(done.returncode == code, f"{where}: exit {done.returncode}: {done.stderr}")
            if code == 5:
                require(f"{there - kept} of the {there} " in done.stderr and "--delete-anyway" in done.stderr,
                        f"{where}: {done.stderr}")
                require(len(read(server, name, kind, work)) == there, f"{where}: something was deleted")
    # A large file in pieces weighs what it holds; new content of a file is no deletion, however much it is.
    big = {"big": os.urandom(150_000).hex(), **{f"s{n}": "x" for n in range(5)}}
    run("push", write(big, work / "big", "directory"), "--keyspace", "big", server=server)
    (work / "big/big").write_text(os.urandom(150_000).hex())
    run("push", work / "big", "--keyspace", "big", server=server)
    require(read(server, "big", "directory", work)["big"] == (work / "big/big").read_text(), "new content did not come")
    (work / "big/big").unlink()
    done = run("push", work / "big", "--keyspace", "big", server=server, codes=(5,))
    require("pieces" in done.stderr, f"most of the pieces would go: {done.stderr}")


def cut_guards(server, work):
    """A push that would delete too much changes nothing at all, cut or not, however much it would add: what it added
    would count as being there, for itself after a cut and for the next one. One that may goes on over cuts."""
    old = {f"f{n:04d}": os.urandom(150).hex() for n in range(3000)}
    more = {f"g{n:05d}": os.urandom(150).hex() for n in range(12_000)}
    sources = [
        (5, 1600, {key: os.urandom(150).hex() for key in list(old)[:1400]}), (5, 3000, more),
        (0, 1000, {**dict(list(old.items())[1000:]), **more}),
    ]
    cuts = 0
    for kind, (place, (code, gone, new)) in itertools.product(("plain", "directory"), enumerate(sources)):
        name = f"cut-{kind}-{place}"
        run("push", write(old, work / f"{name}-old", kind), "--keyspace", name, server=server)
        root = keyspace(server, name)["root"]
        source = write(new, work / f"{name}-new", kind)
        for attempt in range(2 if code else 1):
            proxy = CuttingProxy(server.address, place, 4, 20_000, 300_000, 200_000)
            done = run("push", source, "--keyspace", name, server=proxy, codes=None)
            proxy.close()
            cuts += proxy.cuts
            require(done.returncode == code, f"{name}: exit {done.returncode}: {done.stderr}")
            if code:
                require(f"{gone} of the 3000 " in done.stderr, f"{name}: {done.stderr}")
                require(keyspace(server, name)["root"] == root, f"{name}: something was changed")
        if not code:
            run("verify", source, "--keyspace", name, server=server)
    require(cuts >= 8, f"only {cuts} cuts")


def empty_sources(server, work):
    for kind in ("directory", "plain"):
        source = write({}, work / f"empty-{kind}", kind)
        name = f"empty-{kind}"
        run("push", source, "--keyspace", name, "--dry-run", server=server)
        require(all(k["name"] != name for k in status(server)["keyspaces"]), "a dry run made a keyspace")
        run("push", source, "--keyspace", name, server=server)
        made = keyspace(server, name)
        require(made["entries"] == 0 and made["kind"] == kind, f"an empty SOURCE made {made}")
        require(read(server, name, kind, work) == {}, "an empty keyspace is not pulled empty")


def in_the_way(server, work):
    """What stays and what SOURCE has cannot both be there: refused by name, nothing lost."""
    run("push", write({"d/a.log": "1", "e": "1"}, work / "way-old", "directory"), "--keyspace", "way", server=server)
    source = write({"d": "now a file", "e": "1"}, work / "way-new", "directory")
    for flags in (["--exclude", "*.log"], ["--no-delete"]):
        for dry in (["--dry-run"], []):
            done = run("push", source, "--keyspace", "way", "--delete-anyway" if "--no-delete" not in flags else "--force",
                       *flags, *dry, server=server, codes=(1,))
            require("d/" in done.stderr and "file d" in done.stderr, f"{flags}: {done.stderr}")
            require(read(server, "way", "directory", work) == {"d/a.log": "1", "e": "1"}, f"{flags}: something was lost")
    # The other way round a directory takes a file's name, deletions or not.
    source = write({"d/a.log": "1", "e/f": "2"}, work / "way-third", "directory")
    run("push", source, "--keyspace", "way", "--no-delete", server=server)
    require(read(server, "way", "directory", work) == {"d/a.log": "1", "e/f": "2"}, "a file stayed in the way")


def usage(work):
    source = write({"a": "1"}, work / "usage", "directory")
    for pattern in ("", "[", "a\\", "[z-a]", "x" * 2000):
        done = run("push", source, "--exclude", pattern, codes=(64,))
        require("exclude" in done.stderr, f"{pattern!r}: {done.stderr}")


def law():
    with scratch() as work:
        work = pathlib.Path(work)
        with Server(work / "data") as server:
            done = combinations(server, work)
            guards(server, work)
            cut_guards(server, work)
            empty_sources(server, work)
            in_the_way(server, work)
            usage(work)
            server.stop()
    return f"{done} combinations of flags, guards and what else a push leaves alone"


if __name__ == "__main__":
    main(law)

"""Under which identity each entry of a Bundle is written.

In this order: the id a resource has or its PUT names; for a conditional request the condition; an identifier;
the content. A content id is made after the references in it were resolved, so that two observations that
look alike and refer to two patients by the same placeholder stay two, and a sender's fresh ``urn:uuid`` of
each day does not make a new resource of an old one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.fhir import bundle as bundles
from engine.fhir.ids import id_by_content, id_by_identifier, named
from engine.fhir.linking import Links, references
from engine.keys import resource_id

Json = dict[str, Any]


@dataclass(slots=True)
class Write:
    """One entry on its way.

    Attributes:
        place: FHIRPath of the entry in the source.
        full_url: as the sender gave it.
        resource: valid R4; None when the entry deletes.
        request: of the entry that goes out; ``name_all`` makes its url agree with the id.
        old_id: the id the resource came with, "" if none.
        target: how others refer to it: ``Type/id``, or a URN when the server decides on the id.
    """

    place: str
    full_url: Any
    resource: Json | None
    request: Json
    old_id: str = ""
    target: str = ""

    @property
    def order(self) -> tuple[int, str, str]:
        """What others refer to comes first; deletions and patches last."""
        kind = self.resource["resourceType"] if self.resource is not None else "~"
        return bundles.order((kind, self.target))


def name_all(writes: list[Write]) -> Links:
    """Set target, id and request of every entry; returns how to find them."""
    links = Links()
    taken: dict[str, Json] = {}
    nameless: list[Write] = []
    repeats: Counter[str] = Counter()
    for write in writes:
        if write.resource is None or write.request["method"] == "PATCH":
            write.target = write.request["url"]
        elif not _by_condition(write, links) and not _by_name(write, links, taken):
            nameless.append(write)
    for write in _referred_first(nameless):
        _by_content(write, links, taken, repeats)
    return links


def _by_condition(write: Write, links: Links) -> bool:
    """A conditional create or update: the server finds or gives the id, references use a URN."""
    assert write.resource is not None
    kind, request = write.resource["resourceType"], write.request
    if request["method"] == "POST" and "ifNoneExist" in request:
        key, url = request["ifNoneExist"], kind
    elif request["method"] == "PUT" and request["url"].startswith(f"{kind}?"):
        key = url = request["url"]
    else:
        return False
    write.target = f"urn:uuid:{resource_id('Entry', kind, key)}"
    write.request = {**request, "url": url}
    links.add(write.full_url, kind, write.old_id, write.target)
    return True


def _by_name(write: Write, links: Links, taken: dict[str, Json]) -> bool:
    """By its own id; by an identifier, unless another entry that says something else has the same."""
    assert write.resource is not None
    own = write.resource.get("id")
    made = own or id_by_identifier(write.resource)
    target = f"{write.resource['resourceType']}/{made}"
    if not made or (not own and taken.get(target, write.resource) != write.resource):
        return False
    taken.setdefault(target, write.resource)
    _put(write, made, links)
    return True


def _by_content(write: Write, links: Links, taken: dict[str, Json], repeats: Counter[str]) -> None:
    """Entries that say the very same thing are counted: the sender means two."""
    assert write.resource is not None
    said, _ = links.rewrite(write.resource, write.full_url)
    first = target = f"{said['resourceType']}/{id_by_content(said)}"
    while target in taken:
        repeats[first] += 1
        target = f"{said['resourceType']}/{id_by_content(said, repeats[first] + 1)}"
    taken[target] = write.resource
    _put(write, target.partition("/")[2], links)


def _put(write: Write, made: str, links: Links) -> None:
    assert write.resource is not None
    kind = write.resource["resourceType"]
    write.resource = named(write.resource, made)
    write.target = f"{kind}/{made}"
    conditions = {k: v for k, v in write.request.items() if k not in {"method", "url"}}
    write.request = {"method": "PUT", "url": write.target, **conditions}
    links.add(write.full_url, kind, write.old_id, write.target)


def _referred_first(writes: list[Write]) -> Iterator[Write]:
    """Entries after those that they refer to; within a circle in the order they came."""
    by_url = {write.full_url: write for write in writes if isinstance(write.full_url, str)}
    done: set[int] = set()
    for first in writes:
        if id(first) in done:
            continue
        done.add(id(first))
        path = [(first, _referred(first, by_url))]
        while path:
            other = next((o for o in path[-1][1] if id(o) not in done), None)
            if other is None:
                yield path.pop()[0]
            else:
                done.add(id(other))
                path.append((other, _referred(other, by_url)))


def _referred(write: Write, by_url: dict[str, Write]) -> Iterator[Write]:
    return (by_url[text] for text in references(write.resource) if text in by_url)

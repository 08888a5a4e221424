"""Point 2: every canvas."""

from __future__ import annotations

from types import SimpleNamespace

from celery import chain, chord, group, uuid
from celery.canvas import StampingVisitor
from celery.result import AsyncResult, GroupResult, ResultSet

from tests.parity.table import Cases

CASES = Cases(2)


def tasks(side):
    """Define what canvases are made of."""

    @side.task(base=side.Handlers)
    def add(x, y):
        return x + y

    @side.task(base=side.Handlers)
    def total(numbers):
        return sum(numbers)

    @side.task(base=side.Handlers)
    def listed(*args):
        return list(args)

    @side.task(base=side.Handlers)
    def fails(*args):
        raise ValueError("no", *args)

    @side.task
    def old_style(task_id):
        return task_id

    @side.task
    def new_style(request, error, traceback):
        side.called(request.id, "new_style", error, bool(traceback))

    return SimpleNamespace(**{name: each for name, each in locals().items() if name != "side"})


# -- chains ---------------------------------------------------------------------------------------


@CASES.add("chain", "add: SUCCESS x3")
def chain_(side):
    """Each task gets the result of the one before; the results know their parents."""
    t = tasks(side)
    result = chain(t.add.s(1, 2), t.add.s(3), t.add.s(4)).apply_async()
    return side.get(result), side.tree(result), side.graph(result.parent.parent)


@CASES.add("chain by operator", "add: SUCCESS x2; listed: SUCCESS x2")
def chain_by_operator(side):
    """An immutable signature takes nothing; an argument of the call goes to the first task."""
    t = tasks(side)
    result = (t.add.s(1) | t.listed.s(7) | t.add.si(5, 5) | t.listed.s()).delay(2)
    return side.get(result), [side.get(each) for each in parents(result)]


@CASES.add(
    "chain that fails in the middle",
    "add: SUCCESS; fails: FAILURE; not published: FAILURE; old_style: SUCCESS",
)
def chain_fails(side):
    """The rest is not run; its last result is FAILURE too, and errbacks have run."""
    t = tasks(side)
    result = chain(t.add.s(1, 2), t.fails.s(), t.add.s(3)).apply_async(link_error=t.old_style.s())
    return side.get(result), [side.get(each) for each in parents(result)]


@CASES.add("chain of chains", "add: SUCCESS x5")
def chain_of_chains(side):
    """Chains in a chain are one."""
    t = tasks(side)
    inner = chain(t.add.s(2), t.add.s(3))
    result = chain(t.add.s(0, 1), inner, chain(t.add.s(4), t.add.s(5))).apply_async()
    return side.get(result), len(parents(result))


def parents(result):
    """A result's parents, from the nearest on."""
    found = []
    while result.parent is not None:
        result = result.parent
        found.append(result)
    return found


@CASES.add(
    "chain, link and link_error of the chain",
    "add: SUCCESS x3; fails: FAILURE; not published: FAILURE; old_style: SUCCESS",
)
def chain_links(side):
    """A link of a chain runs after its last task, an errback after the one that failed."""
    t = tasks(side)
    good = chain(t.add.s(1, 2), t.add.s(3))
    good.link(t.add.s(10))
    bad = chain(t.fails.s(1), t.add.s(3))
    bad.link_error(t.old_style.s())
    return [side.get(each.apply_async()) for each in (good, bad)]


@CASES.add("empty canvases", "listed: SUCCESS")
def empty(side):
    """An empty chain, group, and header of a chord: what is published for them."""
    t = tasks(side)
    nothing = [chain().apply_async(), group([]).apply_async()]
    of_chord = chord([], t.listed.s()).apply_async()
    return [repr(nothing[0]), len(nothing[1].results), side.get(nothing[1]), side.get(of_chord)]


# -- groups ---------------------------------------------------------------------------------------


@CASES.add("group", "add: SUCCESS x3")
def group_(side):
    """All run; get, join and join_native of the group, in order."""
    t = tasks(side)
    result = group(t.add.s(n, n) for n in range(3)).apply_async()
    value = side.get(result)
    with side.joining():
        joined = result.join(timeout=5), result.join_native(timeout=5)
    counts = result.completed_count(), result.successful(), result.failed(), len(result)
    return value, joined, counts, side.tree(result)


@CASES.add("group of a generator, with arguments", "add: SUCCESS x3")
def group_of_generator(side):
    """A generator is used once; arguments of the call go to every member."""
    t = tasks(side)
    return side.get(group(t.add.s(n) for n in (10, 20, 30)).delay(1))


@CASES.add("group with a failing member", "add: SUCCESS x2; fails: FAILURE")
def group_fails(side):
    """The group's get raises; without propagation the exception is among the results."""
    t = tasks(side)
    result = group(t.add.s(1, 1), t.fails.s(), t.add.s(2, 2)).apply_async()
    value = side.get(result)
    with side.joining():
        results = result.get(timeout=5, propagate=False), result.join(timeout=5, propagate=False)
    return value, results, result.successful(), result.failed(), result.completed_count()


@CASES.add("group in a group", "add: SUCCESS x4")
def group_in_group(side):
    """A nested group's results are where it was."""
    t = tasks(side)
    inner = group(t.add.s(1, 1), t.add.s(2, 2))
    result = group(t.add.s(0, 0), inner, t.add.s(3, 3)).apply_async()
    return side.get(result), side.tree(result)


@CASES.add("group of chains", "add: SUCCESS x4")
def group_of_chains(side):
    """Each chain goes on by itself; the group's results are those of the chains' last tasks."""
    t = tasks(side)
    chains = [t.add.s(n, n) | t.add.s(100) for n in (1, 2)]
    result = group(chains).apply_async()
    return side.get(result), [side.tree(each) for each in result.results]


@CASES.add(
    "link and link_error of a group",
    "add: SUCCESS x2; fails: FAILURE; listed: SUCCESS; old_style: SUCCESS",
)
def group_links(side):
    """A link of a group is that of its first member, and immutable; an errback is that of all."""
    t = tasks(side)
    linked = group(t.add.s(1, 1), t.add.s(2, 2))
    linked.link(t.listed.s("linked"))
    failing = group([t.fails.s(1)])
    failing.link_error(t.old_style.s())
    return [side.get(each.apply_async()) for each in (linked, failing)]


@CASES.add("ResultSet and GroupResult.save", "add: SUCCESS x4")
def result_sets(side):
    """A set is filled and joined; a saved group is restored, and deleted."""
    t = tasks(side)
    results = ResultSet([t.add.delay(1, 1)], app=side.app)
    results.add(t.add.delay(2, 2))
    joined = side.get(results)
    saved = group(t.add.s(3, 3), t.add.s(4, 4)).apply_async()
    side.settle()
    saved.save()
    restored = GroupResult.restore(saved.id, app=side.app)
    value = side.get(restored), restored == saved
    saved.delete()
    return joined, value, GroupResult.restore(saved.id, app=side.app)


@CASES.add("chunks, map, starmap", "celery.map: SUCCESS; celery.starmap: SUCCESS x3")
def chunks(side):
    """Many calls in one message."""
    t = tasks(side)
    pairs = [(n, n) for n in range(4)]
    results = [
        t.add.chunks(pairs, 2).apply_async(),
        t.add.starmap(pairs).apply_async(),
        t.total.map([(1, 2), (3, 4)]).apply_async(),
    ]
    return [side.get(each) for each in results]


# -- chords ---------------------------------------------------------------------------------------


@CASES.add("chord", "add: SUCCESS x3; total: SUCCESS")
def chord_(side):
    """The body gets the results of the header, in order; its parent is the header."""
    t = tasks(side)
    result = chord([t.add.s(n, n) for n in range(3)], t.total.s()).apply_async()
    return side.get(result), side.tree(result)


@CASES.add("chord of a generator, called", "add: SUCCESS x2; listed: SUCCESS")
def chord_called(side):
    """`chord(header)(body)`, with a generator and arguments of the body."""
    t = tasks(side)
    return side.get(chord(t.add.s(n, n) for n in (1, 2))(t.listed.s("more")))


@CASES.add("chord of one task", "add: SUCCESS; listed: SUCCESS")
def chord_of_one(side):
    """A header of one task still hands over a list."""
    t = tasks(side)
    return side.get(chord([t.add.s(1, 1)])(t.listed.s()))


@CASES.add(
    "chord whose header fails",
    "add: SUCCESS; fails: FAILURE; not published: FAILURE; old_style: SUCCESS",
)
def chord_fails(side):
    """The body's result is a ChordError; its errbacks of the old and the new style have run."""
    t = tasks(side)
    body = t.total.s().on_error(t.old_style.s()).on_error(t.new_style.s())
    result = chord([t.add.s(1, 1), t.fails.s()], body).apply_async()
    return side.get(result), [side.get(each) for each in result.parent.results]


@CASES.add("chord whose header fails twice", "fails: FAILURE x2; not published: FAILURE")
def chord_fails_twice(side):
    """Each failing task of the header fails the body."""
    t = tasks(side)
    return side.get(chord([t.fails.s(1), t.fails.s(2)], t.total.s()).apply_async())


@CASES.add(
    "task_allow_error_cb_on_chord_header",
    "add: SUCCESS; fails: FAILURE; not published: FAILURE; old_style: SUCCESS x2",
    settings={"task_allow_error_cb_on_chord_header": True},
)
def errback_on_header(side):
    """An errback of the chord is one of each task of the header too."""
    t = tasks(side)
    canvas = chord([t.add.s(1, 1), t.fails.s()], t.total.s())
    canvas.link_error(t.old_style.s())
    return side.get(canvas.apply_async())


@CASES.add(
    "errback of a chord",
    "add: SUCCESS; fails: FAILURE; not published: FAILURE; old_style: SUCCESS",
    warns="task_allow_error_cb",
)
def errback_of_chord(side):
    """Without that setting it is one of the body only."""
    t = tasks(side)
    canvas = chord([t.add.s(1, 1), t.fails.s()], t.total.s())
    canvas.link_error(t.old_style.s())
    return side.get(canvas.apply_async())


@CASES.add("chord whose body fails", "add: SUCCESS x2; fails: FAILURE; old_style: SUCCESS")
def body_fails(side):
    """The body's own exception, and its errback."""
    t = tasks(side)
    body = t.fails.s().on_error(t.old_style.s())
    return side.get(chord([t.add.s(1, 1), t.add.s(2, 2)], body).apply_async())


@CASES.add("link of a chord", "add: SUCCESS x3; total: SUCCESS")
def chord_link(side):
    """A link of a chord is one of its body."""
    t = tasks(side)
    canvas = chord([t.add.s(1, 1), t.add.s(2, 2)], t.total.s())
    canvas.link(t.add.s(100))
    result = canvas.apply_async()
    return side.get(result), [side.get(each) for each in result.children]


@CASES.add("chain with a group in it", "add: SUCCESS x4; total: SUCCESS")
def group_in_chain(side):
    """A group with a task after it becomes a chord."""
    t = tasks(side)
    canvas = chain(t.add.s(1, 1), group(t.add.s(10), t.add.s(20)), t.total.s(), t.add.s(1))
    result = canvas.apply_async()
    return side.get(result), side.tree(result)


@CASES.add("chain that ends with a group", "add: SUCCESS x3")
def group_at_end(side):
    """Its result is the group's, whose parent is the task before."""
    t = tasks(side)
    result = (t.add.s(1, 1) | group(t.add.s(10), t.add.s(20))).apply_async()
    return side.get(result), side.tree(result)


@CASES.add("group after group", "add: SUCCESS x4; listed: SUCCESS x2")
def groups_in_a_row(side):
    """A chain of two groups: every member of the second gets all results of the first."""
    t = tasks(side)
    first = group(t.add.s(1, 1), t.add.s(2, 2))
    result = chain(first, group(t.listed.s("a"), t.listed.s("b"))).apply_async()
    other = group(t.add.s(n, n) for n in (3, 4)).apply_async()
    return side.get(result), side.get(other)


@CASES.add("chord in a chord", "add: SUCCESS x3; total: SUCCESS x2")
def chord_in_chord(side):
    """A chord is a task of the header of another."""
    t = tasks(side)
    inner = chord([t.add.s(1, 1), t.add.s(2, 2)], t.total.s())
    result = chord([inner, t.add.s(5, 5)], t.total.s()).apply_async()
    return side.get(result), side.tree(result)


@CASES.add("chain as header and body", "add: SUCCESS x6; total: SUCCESS")
def chains_in_chord(side):
    """A header of chains, and a body that is a chain."""
    t = tasks(side)
    header = [t.add.s(1, 1) | t.add.s(10), t.add.s(2, 2) | t.add.s(20)]
    body = t.total.s() | t.add.s(1000) | t.add.s(2000)
    return side.get(chord(header, body).apply_async())


@CASES.add("group as body", "add: SUCCESS x2; listed: SUCCESS x2")
def group_as_body(side):
    """Every task of the body gets all results of the header."""
    t = tasks(side)
    body = group(t.listed.s("a"), t.listed.s("b"))
    return side.get(chord([t.add.s(1, 1), t.add.s(2, 2)], body).apply_async())


@CASES.add(
    "failing chord in a chain",
    "add: SUCCESS; fails: FAILURE; not published: FAILURE",
    before=((5, 6), "add: SUCCESS; fails: FAILURE FAILURE"),
    worker="prefork",
)
def chord_fails_in_chain(side):
    """What comes after the chord is not run."""
    t = tasks(side)
    body = t.total.s().on_error(t.old_style.s())
    return side.get(chain(group(t.add.s(1, 1), t.fails.s()), body, t.add.s(1)).apply_async())


# -- made inside tasks ----------------------------------------------------------------------------


def replacing(side, canvas, **options):
    """Define a task that is replaced by a canvas."""

    @side.task(base=side.Handlers, bind=True, **options)
    def replaced(self, *args):
        raise self.replace(canvas())

    return replaced


@CASES.add("replace by a task", "add: SUCCESS; replaced: SUCCESS")
def replace_by_task(side):
    """The replacement has the id of the task, and its links."""
    t = tasks(side)
    return side.get(replacing(side, lambda: t.add.s(1, 2)).apply_async(link=t.add.s(10)))


@CASES.add("replace by a chain, in a chain", "add: SUCCESS x2; listed: SUCCESS; replaced: SUCCESS")
def replace_by_chain(side):
    """The chain goes on after the replacement's last task."""
    t = tasks(side)
    replaced = replacing(side, lambda: t.add.s(1, 2) | t.add.s(3))
    return side.get((t.add.s(0, 0) | replaced.s() | t.listed.s("end")).apply_async())


@CASES.add("replace by a group", "add: SUCCESS x2; replaced: SUCCESS")
def replace_by_group(side):
    """Its results are collected under the id of the task."""
    t = tasks(side)
    return side.get(replacing(side, lambda: group(t.add.s(1, 1), t.add.s(2, 2))).delay())


@CASES.add("replace by a chord, in a header", "add: SUCCESS x3; replaced: SUCCESS; total: SUCCESS")
def replace_by_chord(side):
    """The outer chord waits for the body of the inner one."""
    t = tasks(side)
    replaced = replacing(side, lambda: chord([t.add.s(1, 1), t.add.s(2, 2)], t.total.s()))
    return side.get(chord([replaced.s(), t.add.s(5, 5)], t.total.s()).apply_async())


@CASES.add("replacement that fails", "old_style: SUCCESS; replaced: FAILURE")
def replacement_fails(side):
    """Errbacks of the task are the replacement's."""
    t = tasks(side)
    return side.get(replacing(side, t.fails.s).apply_async(link_error=t.old_style.s()))


@CASES.add(
    "add_to_chord",
    "add: SUCCESS x2; grows: SUCCESS; listed: SUCCESS",
    worker="redis",
    needs="redis",
    warns="Call to deprecated",  # by Celery, of the Redis client
)
def add_to_chord(side):
    """A task of the header adds another one to it, which only Redis's backend can do."""
    t = tasks(side)
    # Redis keeps results of one place in the order of their ids.
    first, second = sorted([uuid(), uuid()])

    @side.task(base=side.Handlers, bind=True)
    def grows(self):
        self.add_to_chord(t.add.s(10, 10).set(task_id=second))
        return "grown"

    header = [grows.s().set(task_id=first), t.add.s(1, 1)]
    return side.get(chord(header, t.listed.s()).apply_async())


@CASES.add("published inside a task", "add: SUCCESS x3; parent: SUCCESS; total: SUCCESS")
def published_inside(side):
    """Tasks and canvases that a task publishes are its children, and know root and parent."""
    t = tasks(side)

    @side.task(base=side.Handlers, bind=True)
    def parent(self):
        t.add.delay(1, 1)
        chord([t.add.s(2, 2), t.add.s(3, 3)], t.total.s()).apply_async()
        return len(self.request.children)

    result = parent.delay()
    value = side.get(result)
    return value, side.tree(result), [side.get(each) for each in result.children]


@CASES.add("waiting inside a task", "add: SUCCESS x3; parent: SUCCESS", worker="threads")
def waiting_inside(side):
    """A task waits for another one, and for a group, where it says that it may."""
    t = tasks(side)

    @side.task(base=side.Handlers)
    def parent():
        with side.joining():
            one = t.add.delay(1, 1).get(timeout=10, interval=0.01)
            more = group(t.add.s(2, 2), t.add.s(3, 3)).apply_async()
            return [one, *more.get(timeout=10, interval=0.01)]

    return side.get(parent.delay())


@CASES.add("waiting for a result", "add: SUCCESS x4")
def waiting(side):
    """A client waits for a result, and for a group, that are not there yet."""
    t = tasks(side)
    with side.holding(), side.joining():
        one = t.add.delay(1, 1).get(timeout=20, interval=0.01)
        more = group(t.add.s(n, n) for n in (2, 3, 4)).apply_async()
        return one, more.get(timeout=20, interval=0.01)


@CASES.add("waiting inside a task, not allowed", "add: SUCCESS; parent: FAILURE")
def waiting_refused(side):
    """`get` in a task is refused with an error."""
    t = tasks(side)

    @side.task(base=side.Handlers)
    def parent():
        return t.add.delay(1, 1).get(timeout=10)

    return side.get(parent.delay())


# -- stamps ---------------------------------------------------------------------------------------


@CASES.add("stamped canvas", "add: SUCCESS x3; total: SUCCESS")
def stamped(side):
    """A visitor stamps every task of a chord, its body and its link."""
    t = tasks(side)

    class Visitor(StampingVisitor):
        def on_signature(self, sig, **headers):
            return {"of": sig.task, "stamped_headers": ["of"]}

    canvas = chord([t.add.s(1, 1), t.add.s(2, 2)], t.total.s())
    canvas.link(t.add.s(1))
    canvas.stamp(visitor=Visitor())
    return side.get(canvas.apply_async())


@CASES.add("results by their ids", "add: SUCCESS x2; fails: FAILURE")
def results_by_id(side):
    """A result made of an id, of a tuple, forgotten, collected, and iterated over."""
    t = tasks(side)
    result = (t.add.s(1, 2) | t.add.s(3)).apply_async()
    failed = t.fails.delay(1)
    side.settle()
    again = AsyncResult(result.id, app=side.app)
    with side.joining():
        seen = [
            again.get(timeout=5),
            again == result,
            result.as_tuple(),
            [value for _, value in result.parent.collect()],
            failed.failed(),
            failed.get(timeout=5, propagate=False),
            failed.info,
            result.successful(),
        ]
    result.forget()
    return seen, result.state

"""Segments as marketers write them, each in Tessera's language and as a condition in SQL over the same people and events.

    generate.py OUT_DIR [--segments 1000] [--seed 1] [--today 2026-06-01]

Writes a file for each segment, as they belong into a project's `segments/`. Of a hundred, 25 are about profiles, 25 count
events, 15 ask when something was done first or last, 15 add up money or numbers, 5 do either under a condition on
properties, 5 are sequences, and 10 join such conditions and other segments by `and`, `or` and `not`. A segment depends on
the seed and its number alone: a thousand are the first thousand of ten thousand.

The events end at a fixed day, and windows of Tessera count back from the day of the refresh. So most windows begin or end
`today - END` days ago or more; some are shorter, and nobody did anything in them.
"""

import argparse
import datetime
import pathlib
import random

# The data are those of `run_main_job.py`: a hundred days before this one.
END, DAYS = datetime.date(2026, 3, 1), 100
KINDS = (("profile", 25), ("count", 25), ("recency", 15), ("sum", 15), ("property", 5), ("sequence", 5), ("nested", 10))

# How often each event is asked for, and the most of them that a segment asks for: about what one person in fifty reaches.
EVENTS = {"Product Viewed": (5, 12), "Order Completed": (5, 2), "Product Added": (3, 4), "Page Viewed": (2, 25),
          "Checkout Started": (2, 2), "Products Searched": (1, 3), "Identified": (1, 2)}
COUNTRIES = ("FR", "US", "DE", "GB", "ES", "JP")
CITIES = ("Paris", "Lyon", "New York", "Chicago", "Berlin", "Madrid", "London", "Lille", "Boston")
CATEGORIES = ("women/shoes", "women/dresses", "women/bags", "men/shoes", "men/shirts", "men/jackets", "kids/clothes",
              "kids/toys", "home/kitchen", "home/lighting", "home/textiles", "outdoor/tents", "outdoor/packs")
SEARCHES = ("linen shirt", "black boots", "gift for mum", "tent 2 person", "sneakers", "sale")
LENGTHS = (1, 2, 3, 7, 14, 21, 30, 45, 60, 90)
FUNNELS = (("Product Viewed", "Product Added"), ("Product Viewed", "Order Completed"), ("Products Searched", "Product Viewed"),
           ("Product Viewed", "Product Added", "Order Completed"), ("Product Added", "Checkout Started", "Order Completed"),
           ("Product Viewed", "Product Added", "Checkout Started", "Order Completed"), ("Product Added", "Product Added"))
SPANS = (("1 hour", 60), ("6 hours", 360), ("1 day", 1440), ("7 days", 10080))


class Window:
    """Which days count. `text` is Tessera's; `first` and `last` are days, either may be absent."""

    def __init__(self, text, first, last):
        self.text, self.first, self.last = text, first, last

    def sql(self):
        """Conditions over `occurred_at`."""
        bounds = [f"occurred_at >= timestamp '{self.first}'"] if self.first else []
        return bounds + ([f"occurred_at < timestamp '{self.last + datetime.timedelta(1)}'"] if self.last else [])


class Where:
    """A condition on one property of events."""

    def __init__(self, name, operator, value):
        self.name, self.operator, self.value = name, operator, value

    def text(self):
        return f"property('{self.name}') {self.operator} {self.value}"

    def sql(self, extract):
        value = extract(self.name)
        return f"{value if self.value.startswith(chr(39)) else f'try_cast({value} as decimal(18, 4))'} {self.operator} {self.value}"


class Figure:
    """What somebody did, in one figure. `extract` turns the name of a property into SQL."""

    NAMES = {"count": "event_count", "did": "did", "sum": "event_sum", "first": "first_event_at", "last": "last_event_at"}

    def __init__(self, kind, event, window, of=None, where=None):
        self.kind, self.event, self.window, self.of, self.where = kind, event, window, of, where

    def text(self):
        of = f", '{self.of}'" if self.of else ""
        where = f" filter (where {self.where.text()})" if self.where else ""
        return f"{self.NAMES[self.kind]}('{self.event}'{of}{self.window.text}){where}"

    def filters(self, extract):
        return self.window.sql() + ([self.where.sql(extract)] if self.where else [])

    def aggregate(self, extract):
        """The aggregate's function, and the value of which it is one."""
        if self.kind == "sum":
            return "sum", "revenue" if self.of == "revenue" else f"try_cast({extract(self.of)} as decimal(18, 4))"
        return {"first": ("min", "occurred_at"), "last": ("max", "occurred_at")}.get(self.kind, ("count", None))

    def sql(self, column):
        """The figure, of `column`, which is null for those who did nothing."""
        value = f"coalesce({column}, 0)" if self.kind in ("count", "did", "sum") else column
        return f"{value} > 0" if self.kind == "did" else value

    def properties(self):
        """The properties that it reads."""
        return [name for name in (self.of, self.where and self.where.name) if name and name != "revenue"]


class Sequence:
    """Events one after the other."""

    def __init__(self, steps, window, span):
        self.steps, self.window, self.span = steps, window, span

    def text(self):
        span = f", span => interval '{self.span[0]}'" if self.span else ""
        return f"did_sequence({' then '.join(f'{chr(39)}{step}{chr(39)}' for step in self.steps)}{self.window.text}{span})"


class Column:
    """A column of profiles."""

    def __init__(self, name):
        self.name = name

    def text(self):
        return self.name


class InSegment:
    """The members of another segment."""

    def __init__(self, segment):
        self.segment = segment

    def text(self):
        return f"in_segment('{self.segment.name}')"


class Condition:
    """A condition with places for its parts, the same in both languages. It is `positive` if it asks for something done, so
    that it is never true of those who did nothing."""

    def __init__(self, template, *parts, positive=False):
        self.template, self.parts, self.positive = template, parts, positive

    def text(self):
        return self.template.format(*(part.text() for part in self.parts))

    def sql(self, render):
        """In SQL; `render` turns a part into it."""
        return self.template.format(*(part.sql(render) if isinstance(part, Condition) else render(part) for part in self.parts))

    def leaves(self):
        """All parts that are no conditions themselves."""
        for part in self.parts:
            yield from part.leaves() if isinstance(part, Condition) else (part,)


class Segment:
    """One segment."""

    def __init__(self, name, kind, condition):
        self.name, self.kind, self.condition = name, kind, condition

    def figures(self):
        return [leaf for leaf in self.condition.leaves() if isinstance(leaf, Figure)]

    def needs(self):
        """The segments that it names."""
        return [leaf.segment for leaf in self.condition.leaves() if isinstance(leaf, InSegment)]

    def has_sequence(self):
        """Whether it or a segment that it needs asks for events one after the other."""
        return any(isinstance(leaf, Sequence) for leaf in self.condition.leaves()) or any(it.has_sequence() for it in self.needs())


class Writer:
    """Draws one segment after the other."""

    def __init__(self, seed, today):
        self.seed, self.today, self.segments = seed, today, []
        self.ended = max((today - END).days, 0)

    def segment(self, number):
        self.dice = random.Random(f"{self.seed} {number}")
        kinds = [kind for kind, share in KINDS for _ in range(share)]
        random.Random(f"{self.seed} kinds {number // len(kinds)}").shuffle(kinds)
        kind = kinds[number % len(kinds)]
        self.segments.append(Segment(f"s{number + 1:04}", kind, getattr(self, kind)()))

    def ago(self, days):
        return self.today - datetime.timedelta(days)

    def day(self):
        return END - datetime.timedelta(self.dice.randint(1, DAYS - 2))

    def instant(self):
        return f"timestamp '{self.day()} {self.dice.choice(('00:00:00', '06:30:00', '12:00:00', '18:45:10'))}'"

    def length(self):
        return self.dice.choice(LENGTHS) if self.dice.random() < 0.7 else self.dice.randint(1, 95)

    def window(self):
        kind, length = self.dice.random(), self.length()
        if kind < 0.45:
            days = self.ended + length
            return Window(f", within => interval '{days} days'", self.ago(days), None)
        if kind < 0.6:
            ago = self.ended + self.dice.choice((0, 0, 7, 14, 28, 30))
            # Nothing is `ago` while the events still go on.
            if ago > 0:
                text = f", within => interval '{length} days', ago => interval '{ago} days'"
                return Window(text, self.ago(ago + length), self.ago(ago + 1))
        if kind < 0.72:
            first = END - datetime.timedelta(length)
            return Window(f", since => date '{first}'", first, None)
        if kind < 0.87:
            first = self.day()
            last = min(first + datetime.timedelta(length - 1), END - datetime.timedelta(1))
            return Window(f", between => (date '{first}', date '{last}')", first, last)
        if kind < 0.97 or self.ended == 0:
            return Window("", None, None)
        days = min(self.dice.choice((1, 7, 30, 90)), self.ended)
        return Window(f", within => interval '{days} days'", self.ago(days), None)

    def event(self):
        return self.dice.choices(list(EVENTS), [weight for weight, _ in EVENTS.values()])[0]

    def profile(self):
        pick, name = self.dice.choice, Column
        amount = self.dice.randint(2, 40) * 10
        condition = self.dice.randrange(14)
        if condition == 0:
            return Condition(f"{{0}} > {amount}", name("lifetime_value"))
        if condition == 1:
            return Condition(f"{{0}} between {amount} and {amount + 100}.50", name("lifetime_value"))
        if condition == 2:
            return Condition(f"{{0}} >= {self.dice.randint(1, 3)}", name("order_count"))
        if condition == 3:
            return Condition(f"{{0}} {pick(('>=', '<'))} {self.dice.randint(2, 40)}", name("event_count"))
        if condition == 4:
            return Condition(f"{{0}} {pick(('<', '>='))} {self.instant()}", name("first_seen_at"))
        if condition == 5:
            return Condition(f"{{0}} {pick(('<', '>='))} {self.instant()}", name("last_seen_at"))
        if condition == 6:
            return Condition(f"{{0}} = '{pick(COUNTRIES)}'", name("country"))
        if condition == 7:
            return Condition(f"{{0}} in ({', '.join(repr(country) for country in self.dice.sample(COUNTRIES, 3))})", name("country"))
        if condition == 8:
            return Condition(f"{{0}} = '{pick(CITIES)}' and {{1}} >= {self.dice.randint(2, 20)}", name("city"), name("event_count"))
        if condition == 9:
            return Condition(f"{{0}} like '{pick('ABCEFHJLMS')}%'", name("first_name"))
        if condition == 10:
            return Condition(f"{{0}} = '{pick(COUNTRIES)}' and {{1}} > {amount}", name("country"), name("lifetime_value"))
        if condition == 11:
            return Condition(f"{{0}} is null and {{1}} >= {self.dice.randint(2, 30)}", name("country"), name("event_count"))
        if condition == 12:
            return Condition(f"{{0}} >= {self.dice.randint(2, 3)} and {{1}} < {self.instant()}", name("identifier_count"), name("first_seen_at"))
        return Condition(f"{{0}} < {self.instant()} or {{0}} is null and {{1}} >= {self.dice.randint(5, 30)}", name("last_order_at"), name("event_count"))

    def count(self):
        event, window, kind = self.event(), self.window(), self.dice.randrange(10)
        most = EVENTS[event][1]
        if kind < 2:
            return Condition("{0}", Figure("did", event, window), positive=True)
        if kind < 4:
            return Condition("not {0}", Figure("did", event, window))
        if kind < 8:
            return Condition(f"{{0}} >= {self.dice.randint(1, most)}", Figure("count", event, window), positive=True)
        if kind < 9:
            return Condition(f"{{0}} < {self.dice.randint(1, most)}", Figure("count", event, window))
        return Condition(f"{{0}} {self.dice.choice('<>')} {{1}}", Figure("count", event, window), Figure("count", event, self.window()))

    def recency(self):
        event, kind = self.event(), self.dice.randrange(10)
        ever = Window("", None, None)
        if kind < 4:
            return Condition(f"{{0}} {self.dice.choice(('<', '>='))} {self.instant()}", Figure("last", event, ever), positive=True)
        if kind < 7:
            return Condition(f"{{0}} {self.dice.choice(('<', '>='))} {self.instant()}", Figure("first", event, ever), positive=True)
        if kind < 8:
            return Condition(f"{{0}} < {self.instant()}", Figure("first", event, self.window()), positive=True)
        if kind < 9:
            return Condition("{0} is null", Figure("last", event, self.window()))
        days = self.ended + self.length()
        return Condition(f"days_since({{0}}) {self.dice.choice(('<=', '>'))} {days}", Figure("last", event, ever), positive=True)

    def sum(self):
        kind = self.dice.randrange(20)
        event, of, most = (("Order Completed", "revenue", 300) if kind < 16 else ("Product Added", "quantity", 6) if kind < 18
                           else ("Checkout Started", "value", 200) if kind < 19 else ("Product Viewed", "price", 500))
        amount = self.dice.randint(1, 3) if of == "quantity" else self.dice.randint(1, most // 10) * 10
        figure = Figure("sum", event, self.window(), of)
        if self.dice.random() < 0.85:
            return Condition(f"{{0}} > {amount}", figure, positive=True)
        return Condition(f"{{0}} <= {amount}", figure)

    def property(self):
        where, event = self.dice.choice((
            (Where("category", "=", f"'{self.dice.choice(CATEGORIES)}'"), "Product Viewed"),
            (Where("category", "=", f"'{self.dice.choice(CATEGORIES)}'"), "Product Added"),
            (Where("category", "like", f"'{self.dice.choice(('women', 'men', 'kids', 'home'))}/%'"), "Product Viewed"),
            (Where("price", ">", str(self.dice.randint(2, 15) * 10)), "Product Viewed"),
            (Where("query", "=", f"'{self.dice.choice(SEARCHES)}'"), "Products Searched"),
            (Where("currency", "=", f"'{self.dice.choice(('EUR', 'USD', 'GBP'))}'"), "Order Completed"),
        ))
        if event == "Order Completed":
            return Condition(f"{{0}} > {self.dice.randint(1, 20) * 10}", Figure("sum", event, self.window(), "revenue", where), positive=True)
        return Condition(f"{{0}} >= {self.dice.randint(1, 3)}", Figure("count", event, self.window(), None, where), positive=True)

    def sequence(self):
        span = self.dice.choice((None, *SPANS))
        return Condition("{0}", Sequence(self.dice.choice(FUNNELS), self.window(), span))

    def nested(self):
        def simple():
            return getattr(self, self.dice.choice(("profile", "count", "recency", "sum")))()

        def other():
            return InSegment(self.dice.choice(self.segments)) if self.segments else simple()

        return self.dice.choice((
            lambda: Condition("({0}) and ({1})", simple(), simple()),
            lambda: Condition("(({0}) or ({1})) and not ({2})", simple(), simple(), simple()),
            lambda: Condition("{0} and ({1})", other(), simple()),
            lambda: Condition("{0} and not {1}", other(), other()),
            lambda: Condition("(({0}) and ({1})) or (({2}) and not {3})", simple(), simple(), simple(), other()),
            lambda: Condition("not ({0} or ({1})) and ({2})", other(), simple(), simple()),
        ))()


def generate(count, today, seed=1):
    """The first `count` segments, as they are on the day `today`."""
    writer = Writer(seed, today)
    for number in range(count):
        writer.segment(number)
    return writer.segments


def write(segments, folder):
    """Writes the segments' files."""
    folder.mkdir(parents=True, exist_ok=True)
    for segment in segments:
        (folder / f"{segment.name}.sql").write_text(segment.condition.text() + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--segments", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--today", type=datetime.date.fromisoformat, default=datetime.datetime.now(datetime.UTC).date())
    arguments = parser.parse_args()
    write(generate(arguments.segments, arguments.today, arguments.seed), arguments.out)


if __name__ == "__main__":
    main()

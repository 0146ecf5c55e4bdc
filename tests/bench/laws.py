"""Laws of growth: a figure as known plus fitted terms, and the deviation of measurements. Needs
only the standard library."""
import dataclasses
import typing


@dataclasses.dataclass(frozen=True)
class Term:
    """A fitted parameter times a function of x."""

    name: str
    unit: str
    scale: float  # to `unit`: 1e3 for a parameter in seconds that is shown in ms
    of: typing.Callable[[float], float]


@dataclasses.dataclass(frozen=True)
class Law:
    """quantity(x) = known(x) + the sum of the terms; the figure shown is shown(x, quantity).

    The quantity is often simpler than the figure: seconds add up, tokens/s do not. `shown` is its
    own inverse
    (1 / v, or work / v).
    """

    formula: str
    terms: tuple
    known: typing.Callable[[float], float] = lambda x: 0.0
    shown: typing.Callable[[float, float], float] = lambda x, v: v


class Fitted:
    """A law with the parameters that fit the points best, by least squares of the quantity's
    relative deviations.

    Costs cannot be negative, so negative parameters become 0.
    """

    def __init__(self, law, points):
        self.law = law
        quantities = [(x, law.shown(x, y)) for x, y in points]
        kept = list(range(len(law.terms)))
        while True:
            values = solved(law, [law.terms[i] for i in kept], quantities)
            negative = [i for i, value in zip(kept, values) if value < 0]
            if not negative:
                break
            kept.remove(negative[0])
        self.parameters = {term.name: 0.0 for term in law.terms}
        self.parameters.update((law.terms[i].name, value) for i, value in zip(kept, values))

    def at(self, x):
        quantity = self.law.known(x) + sum(
            self.parameters[term.name] * term.of(x) for term in self.law.terms
        )
        return self.law.shown(x, quantity)

    def text(self):
        values = (
            f"{term.name} = {self.parameters[term.name] * term.scale:.3g} {term.unit}"
            for term in self.law.terms
        )
        return f"{self.law.formula}; {', '.join(values)} (least squares)"


def solved(law, terms, quantities):
    """The parameters of `terms` that minimise the sum of ((law(x) - y) / y)^2: normal equations,
    Gauss-Jordan."""
    rows = [([term.of(x) / y for term in terms], (y - law.known(x)) / y) for x, y in quantities]
    size = len(terms)
    matrix = [
        [sum(row[i] * row[j] for row, _ in rows) for j in range(size)]
        + [sum(row[i] * y for row, y in rows)]
        for i in range(size)
    ]
    for i in range(size):
        pivot = max(range(i, size), key=lambda r: abs(matrix[r][i]))
        if abs(matrix[pivot][i]) <= 1e-12 * max(abs(value) for value in matrix[pivot]):
            raise ValueError(
                f"the points do not determine {', '.join(term.name for term in terms)} of "
                f"'{law.formula}'"
            )
        matrix[i], matrix[pivot] = matrix[pivot], matrix[i]
        matrix[i] = [value / matrix[i][i] for value in matrix[i]]
        for other in range(size):
            if other != i:
                factor = matrix[other][i]
                matrix[other] = [a - factor * b for a, b in zip(matrix[other], matrix[i])]
    return [row[-1] for row in matrix]

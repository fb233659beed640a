"""Reads the YAML of files that say who may do what: one reading for each text, or none."""

from collections.abc import Hashable
from typing import Any

import yaml


class YamlRefused(yaml.MarkedYAMLError):
    """It may mean something else than its writer thinks. ``problem`` says why, without values."""

    def __init__(self, problem: str, mark: yaml.Mark | None = None) -> None:
        super().__init__(problem=problem, problem_mark=mark)
        self.problem = problem
        self.problem_mark = mark


def load_strictly(text: bytes) -> Any:
    """What stands in it. Raises yaml.YAMLError; of these YamlRefused for keys that stand twice, for aliases,
    and for values that there are not, such as the thirty-first of February.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except RecursionError:
        raise YamlRefused("it is nested too deeply") from None
    except (ValueError, OverflowError):
        raise YamlRefused("it has a character that there is not") from None


class _StrictLoader(yaml.SafeLoader):
    """A key that stands twice would silently be the last one. Aliases can make little text very large."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            alias = self.peek_event()  # type: ignore[no-untyped-call]
            raise YamlRefused("aliases are not allowed", alias.start_mark)
        return super().compose_node(parent, index)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except yaml.YAMLError:
            raise
        # What the readers of dates, numbers and words stumble over.
        except (ValueError, KeyError, AttributeError, TypeError, ArithmeticError):
            raise YamlRefused("there is no such value", node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # refused by what follows
            if key in seen:
                raise YamlRefused(f"{str(key)[:64]!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

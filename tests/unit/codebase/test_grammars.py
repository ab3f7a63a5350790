"""What is known of a file in each language: the same small shop, written in all of them."""

from collections.abc import Iterator

import pytest

from contexten_core.codebase.analyse import analyse_file
from contexten_core.codebase.facts import FileFacts, FunctionFact

EXAMPLES = {
    "shop/basket.py": (
        '''"""Baskets."""
from . import prices as p, taxes
import json  # TODO: orjson

@final
class Basket(Model, metaclass=Meta):
    """Holds items."""

    async def total(self, *, rate: float = 0.1) -> float:
        """Sum up."""
        if not self.items or rate < 0:
            raise ValueError(rate)
        return sum(p.of(i) for i in self.items) + super().total()

basket = Basket(json.load(open("b")))
''',
        """Python: 15 lines, 9 code, 3 comment
import . prices,taxes
import json
class 6-13 Basket(Model) @final: Holds items.
method 9-13 Basket.total(self, rate) 4/2/1: Sum up.
    total(self, *, rate: float = 0.1) -> float
    calls ValueError sum p.of super().total
calls Basket json.load open
TODO 3 orjson
""",
    ),
    "web/basket.js": (
        """import api, { get as fetch } from "./api";
const log = require("log");
/** Holds items. */
export class Basket extends Model {
  // the sum
  async total(rate = 0.1, { round }, ...rest) {
    for (const item of this.items) {
      if (item.free && !round) continue;
      else this.sum += await fetch(item)?.price ?? 0;
    }
    return new Money(this.sum);
  }
}
export const empty = (basket) => basket.items.length === 0 ? log.warn("empty") : null; // FIXME: quiet
""",
        """JavaScript: 14 lines, 12 code, 2 comment
import ./api default,get
import log
class 4-13 Basket(Model): Holds items.
method 6-12 Basket.total(rate, { round }, rest) 5/6/2
    total(rate = 0.1, { round }, ...rest)
    calls fetch Money
function 14-14 empty(basket) 2/1/0
    empty = (basket)
    calls log.warn
calls require
FIXME 14 quiet
""",
    ),
    "web/basket.ts": (
        """import type { Item } from "../items";
export * from "./prices";
namespace shop {
  @Injectable()
  export class Basket<T extends Item> extends Model<T> implements Iterable<T>, Sized {
    constructor(private items: T[], readonly name?: string) { super(); }
    /** The sum. */
    @Cached(60)
    total(this: Basket<T>): number { return this.items.reduce((sum, item) => sum + item.price, 0); }
  }
  export interface Sized { size(): number }
}
""",
        """TypeScript: 12 lines, 11 code, 1 comment
import ../items Item
import ./prices *
class 5-10 shop.Basket(Model<T>, Iterable<T>, Sized) @Injectable()
class 11-11 shop.Sized()
method 6-6 shop.Basket.constructor(items, name) 1/0/0
    constructor(private items: T[], readonly name?: string)
    calls super
method 9-9 shop.Basket.total(this) 1/0/0 @Cached(60): The sum.
    total(this: Basket<T>): number
    calls this.items.reduce
calls Injectable Cached
""",
    ),
    "web/Page.tsx": (
        """import React from "react";
export const Page: React.FC<Props> = ({ items }) => <ul>{items.map((item) => item.ok && <li>{show(item)}</li>)}</ul>;
""",
        """TypeScript: 2 lines, 2 code, 0 comment
import react default
function 2-2 Page({ items }) 2/1/0
    Page: React.FC<Props> = ({ items })
    calls items.map show
""",
    ),
    "shop/basket.go": (
        """// Package shop sells.
package shop

import (
	"fmt"
	tax "example.com/tax"
)

// Basket holds items.
type Basket struct{ items []Item }

// Total sums up.
// In cents.
func (b *Basket) Total(rate, extra float64, more ...int) (sum int, err error) {
	for _, item := range b.items {
		switch {
		case item.Free:
			continue
		default:
			sum += tax.Of(item)
		}
	}
	return sum, fmt.Errorf("none")
}
""",
        """Go: 24 lines, 17 code, 4 comment, package shop
import fmt
import example.com/tax
class 10-10 Basket(): Basket holds items.
method 14-24 Basket.Total(rate, extra, more) 3/3/2: Total sums up.
In cents.
    Total(rate, extra float64, more ...int) (sum int, err error)
    calls tax.Of fmt.Errorf
""",
    ),
    "src/basket.rs": (
        """use crate::items::{self, Item as I};
mod prices;
/// Holds items.
#[derive(Debug)]
pub struct Basket { items: Vec<I> }
impl Sized for Basket {
    /// Sums up.
    pub fn total(&self, rate: f64) -> Result<u64, Error> {
        for item in &self.items {
            if let Some(price) = item.price { return Ok(prices::of(price)); }
        }
        match rate { x if x > 1.0 => Err(Error::new()), _ => Ok(0) }
    }
}
trait Sized { fn total(&self, rate: f64) -> Result<u64, Error>; }
""",
        """Rust: 15 lines, 13 code, 2 comment
import crate::items self,Item
import mod prices
class 5-5 Basket() @derive(Debug): Holds items.
class 15-15 Sized()
method 8-13 Basket.total(self, rate) 4/4/2: Sums up.
    total(&self, rate: f64) -> Result<u64, Error>
    calls Ok prices.of Err Error.new
method 15-15 Sized.total(self, rate) 1/0/0
    total(&self, rate: f64) -> Result<u64, Error>
""",
    ),
    "shop/Basket.java": (
        """package com.acme.shop;
import java.util.List;
import static com.acme.Tax.*;
/** Holds items. */
@Entity
public final class Basket<T> extends Model implements Sized, Iterable<T> {
    /** Sums up. */
    @Override
    public int total(final double rate, String... names) throws Empty {
        try {
            return items.stream().filter(i -> i.free() || rate > 0).count() > 0 ? of(rate) : 0;
        } catch (Empty | Full e) {
            throw new Broken(e);
        }
    }
    Basket() { super(); }
}
interface Sized { int total(double rate, String... names); }
""",
        """Java: 18 lines, 16 code, 2 comment, package com.acme.shop
import java.util List
import com.acme.Tax *
class 6-17 Basket(Model, Sized, Iterable<T>) @Entity: Holds items.
class 18-18 Sized()
method 9-15 Basket.total(rate, names) 4/3/1 @Override: Sums up.
    total(final double rate, String... names) throws Empty
    calls ().count ().filter items.stream i.free of Broken
method 16-16 Basket.Basket() 1/0/0
    Basket()
method 18-18 Sized.total(rate, names) 1/0/0
    total(double rate, String... names)
""",
    ),
    "lib/basket.rb": (
        """require "json"
require_relative "prices"
# Holds items.
module Shop
  class Basket < Model
    # Sums up.
    def total(rate = 0.1, *rest, round:, &block)
      return 0 unless @items
      @items.each { |item| yield item if item.ok? && round }
      JSON.dump(Price.new(rate))
    end
    def self.build = new
  end
end
""",
        """Ruby: 14 lines, 12 code, 2 comment
import json
import ./prices
class 4-14 Shop(): Holds items.
class 5-13 Shop.Basket(Model)
method 7-11 Shop.Basket.total(rate, rest, round, block) 4/4/1: Sums up.
    total(rate = 0.1, *rest, round:, &block)
    calls @items.each item.ok? JSON.dump Price.new
method 12-12 Shop.Basket.build() 1/0/0
    build
calls require require_relative
""",
    ),
    "src/basket.c": (
        """#include <stdio.h>
#include "basket.h"
/** Sums up. */
static int *total(struct basket *b, const char *names[], int (*of)(int)) {
    while (b->next) {
        if (b->free && !names) goto end;
        else if (b->sum) sum += of(b->sum);
        else printf("none");
    }
end:
    return b ? &b->sum : 0;
}
typedef struct { int sum; } Basket;
enum kind { FULL, EMPTY };
""",
        """C: 14 lines, 13 code, 1 comment
import stdio.h
import basket.h
class 13-13 Basket()
class 14-14 kind()
function 4-12 total(b, names, of) 6/8/2: Sums up.
    total(struct basket *b, const char *names[], int (*of)(int))
    calls of printf
""",
    ),
    "src/basket.cpp": (
        """#include <vector>
namespace shop {
/// Holds items.
template <typename T> class Basket : public Model, private Sized<T> {
public:
    Basket(int n) : items(n) {}
    bool operator==(const Basket& other) const { return other.items == items; }
};
template <typename T> auto Basket<T>::total(double rate, const T& other) -> int {
    for (auto& item : items)
        if (item.ok() and rate) return std::max<int>(item.price, 0);
    throw Empty("none");
}
}
""",
        """C++: 14 lines, 13 code, 1 comment
import vector
class 4-8 shop.Basket(Model, Sized<T>): Holds items.
method 6-6 shop.Basket.Basket(n) 1/0/0
    Basket(int n) : items(n)
method 7-7 shop.Basket.operator==(other) 1/0/0
    operator==(const Basket& other) const
method 9-13 shop.Basket.total(rate, other) 4/4/2
    total(double rate, const T& other) -> int
    calls item.ok std.max Empty
""",
    ),
    "shop/Basket.cs": (
        """using System.Linq;
namespace Acme.Shop;
/// <summary>Holds items.</summary>
[Table("baskets")]
public class Basket<T> : Model, ISized {
    public Basket(int n) : base(n) { }
    [Obsolete]
    public async Task<int> Total(double rate, params string[] names) {
        foreach (var item in items)
            if (item?.Free() ?? false) return 0;
        return rate switch { > 1 => Tax.Of(rate), _ => 0 };
    }
}
interface ISized { Task<int> Total(double rate, params string[] names); }
""",
        """C#: 14 lines, 13 code, 1 comment, package Acme.Shop
import System.Linq
class 5-13 Basket(Model, ISized) @Table("baskets"): Holds items.
class 14-14 ISized()
method 6-6 Basket.Basket(n) 1/0/0
    Basket(int n) : base(n)
method 8-12 Basket.Total(rate, names) 5/5/2 @Obsolete
    Total(double rate, params string[] names)
    calls item.Free Tax.Of
method 14-14 ISized.Total(rate, names) 1/0/0
    Total(double rate, params string[] names)
""",
    ),
    "src/Basket.php": (
        """<?php
namespace Acme\\Shop;
use Acme\\Tax\\{Rate, Table as T};
require_once __DIR__ . "/prices.php";
/** Holds items. */
#[Entity]
final class Basket extends Model implements Sized {
    /** Sums up. */
    public function total(float $rate, string ...$names): int {
        foreach ($this->items as $item) {
            if ($item->free() && $rate) { continue; } elseif ($rate > 1) { return Tax::of($rate); }
        }
        return array_sum($this->prices) ?: new Money(0);
    }
}
""",
        """PHP: 15 lines, 13 code, 2 comment, package Acme\\Shop
import Acme\\Tax Rate
import Acme\\Tax Table
import prices.php
class 6-15 Basket(Model, Sized) @Entity: Holds items.
method 9-14 Basket.total(rate, names) 6/6/2: Sums up.
    total(float $rate, string ...$names): int
    calls item.free Tax.of array_sum Money
""",
    ),
    "bin/deploy.sh": (
        """#!/bin/bash
. ./lib.sh
# Deploys.
deploy() {
  for host in "$@"; do
    if ping "$host" && ! busy; then
      copy "$host" || exit 1
    fi
  done
  case $1 in now) run;; *) wait;; esac
}
deploy all
""",
        """Shell: 12 lines, 10 code, 2 comment
function 4-11 deploy() 6/6/2: Deploys.
    deploy()
    calls ping busy copy exit run wait
calls deploy
""",
    ),
}


@pytest.mark.parametrize("path", EXAMPLES)
def test_facts_of_a_file(path: str) -> None:
    source, expected = EXAMPLES[path]
    facts = analyse_file(path=path, data=source.encode())
    assert "\n".join(written(facts)) + "\n" == expected
    assert FileFacts.unpack(facts.pack(), path=path) == facts


def written(facts: FileFacts) -> Iterator[str]:
    """Write facts down, a line for each; complexity as cyclomatic/cognitive/nesting."""
    package = f", package {facts.package}" if facts.package else ""
    lines = f"{facts.lines} lines, {facts.code_lines} code, {facts.comment_lines} comment"
    yield f"{facts.language}: {lines}{package}"
    for taken in facts.imports:
        yield f"import {taken.module} {','.join(taken.names)}".rstrip()
    for found in facts.classes:
        head = f"class {found.line}-{found.end_line} {found.qualified_name}({', '.join(found.bases)})"
        yield head + around(found.decorators, found.docstring)
    for function in facts.functions:
        yield from written_function(function)
    if facts.calls:
        yield f"calls {' '.join(facts.calls)}"
    for todo in facts.todos:
        yield f"{todo.marker} {todo.line} {todo.text}"


def written_function(function: FunctionFact) -> Iterator[str]:
    kind = "method" if function.is_method else "function"
    name = f"{function.qualified_name}({', '.join(function.parameters)})"
    figures = f"{function.complexity}/{function.cognitive}/{function.nesting}"
    place = f"{function.line}-{function.end_line}"
    yield f"{kind} {place} {name} {figures}" + around(function.decorators, function.docstring)
    yield f"    {function.signature}"
    if function.calls:
        yield f"    calls {' '.join(function.calls)}"


def around(decorators: tuple[str, ...], docstring: str | None) -> str:
    return "".join(f" @{decorator}" for decorator in decorators) + (f": {docstring}" if docstring else "")

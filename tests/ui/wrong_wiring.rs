use arrowsmith::prelude::*;

#[op]
fn name() -> String {
    "ada".to_owned()
}

#[op]
fn add_one(n: i64) -> i64 {
    n + 1
}

#[graph]
fn wired() -> Handle<i64> {
    add_one(name())
}

fn main() {}

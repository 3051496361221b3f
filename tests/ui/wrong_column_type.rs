use arrowsmith::prelude::*;

#[derive(Columns)]
struct Order {
    id: i64,
    amount: std::time::Duration,
}

fn main() {}

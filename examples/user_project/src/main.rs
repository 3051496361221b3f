//! A shop's repository: SQL files beside Rust functions, in one graph.
//!
//! ```sh
//! cd examples/user_project
//! cargo run -- materialize
//! cargo run -- show loyalty
//! ```

use std::process::ExitCode;

use arrowsmith::prelude::*;

/// What the loyalty programme needs to know of a customer's spending.
#[derive(Columns)]
struct Spending {
    customer: String,
    spent: f64,
}

#[derive(Columns)]
struct Loyalty {
    customer: String,
    points: f64,
    tier: String,
}

/// Points and tiers, which are too fiddly for SQL.
#[asset(name = "marts.loyalty", group = "marts", owners = ["team:crm"])]
fn loyalty(#[input(key = "marts.spending")] spending: Table<Spending>) -> Vec<Loyalty> {
    let tier = |points: f64| match points {
        ..20.0 => "bronze",
        20.0..50.0 => "silver",
        _ => "gold",
    };
    let loyalty = |Spending { customer, spent }| {
        let points = spent.floor();
        Loyalty { customer, points, tier: tier(points).to_owned() }
    };
    spending.rows().map(loyalty).collect()
}

fn main() -> ExitCode {
    let project = sql_project(env!("CARGO_MANIFEST_DIR"));
    arrowsmith::main(Repository::new("shop").with(project).with(assets![loyalty]))
}

use arrowsmith::prelude::*;

#[asset(grop = "marts")]
async fn totals(orders: DataFrame) -> DataFrame {
    orders
}

fn main() {}

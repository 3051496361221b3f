use arrowsmith::prelude::*;

#[asset(name = "marts.daily-totals")]
async fn totals(orders: DataFrame) -> DataFrame {
    orders
}

fn main() {}

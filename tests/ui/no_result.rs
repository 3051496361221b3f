use arrowsmith::prelude::*;

#[asset]
async fn totals(orders: DataFrame) {
    let _ = orders;
}

fn main() {}

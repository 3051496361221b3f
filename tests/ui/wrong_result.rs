use arrowsmith::prelude::*;

#[asset]
async fn totals(orders: DataFrame) -> u32 {
    let _ = orders;
    7
}

fn main() {}

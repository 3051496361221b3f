use arrowsmith::prelude::*;

#[asset]
async fn totals(orders: u32) -> RecordBatches {
    let _ = orders;
    unreachable!()
}

fn main() {}

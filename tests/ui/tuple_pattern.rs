use arrowsmith::prelude::*;

#[asset]
async fn totals((a, b): (DataFrame, DataFrame)) -> DataFrame {
    let _ = b;
    a
}

fn main() {}

use arrowsmith::prelude::*;

#[derive(Columns)]
enum Order {
    Big,
    Small,
}

fn main() {}

//! Compiles the server anew when the UI was built anew; nothing is built or fetched here.

fn main() {
    println!("cargo::rerun-if-changed=ui/dist");
}

//! Every IO manager keeps the contract, wherever its store is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrowsmith::io::{
    CsvIoManager, Durability, IoManager, IpcIoManager, MemoryIoManager, ParquetIoManager,
    ParquetOptions, Store, conformance,
};
use tempfile::TempDir;

fn parquet(url: &str, durability: Durability) -> Arc<dyn IoManager> {
    let store = Store::open(url, Path::new("/"), durability, &BTreeMap::new()).expect("a store");
    Arc::new(ParquetIoManager::new(store, ParquetOptions::default()))
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    conformance::check(Arc::new(MemoryIoManager::new())).await;
}

#[tokio::test]
async fn ipc_keeps_the_contract_on_a_durable_disk_and_in_memory() {
    let folder = TempDir::new().expect("a folder");
    for url in [&*folder.path().display().to_string(), "memory:"] {
        let store = Store::open(url, Path::new("/"), Durability::Fsync, &BTreeMap::new());
        conformance::check(Arc::new(IpcIoManager::new(store.expect("a store")))).await;
    }
}

#[tokio::test]
async fn csv_keeps_the_contract_on_a_durable_disk_and_in_memory() {
    let folder = TempDir::new().expect("a folder");
    for url in [&*folder.path().display().to_string(), "memory:"] {
        let store = Store::open(url, Path::new("/"), Durability::Fsync, &BTreeMap::new());
        conformance::check(Arc::new(CsvIoManager::new(store.expect("a store")))).await;
    }
}

#[tokio::test]
async fn parquet_keeps_the_contract_on_a_durable_disk() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("ware house");
    conformance::check(parquet(&path.display().to_string(), Durability::Fsync)).await;
}

#[tokio::test]
async fn parquet_keeps_the_contract_without_syncing() {
    let folder = TempDir::new().expect("a folder");
    conformance::check(parquet(&folder.path().display().to_string(), Durability::None)).await;
}

#[tokio::test]
async fn parquet_keeps_the_contract_in_memory() {
    conformance::check(parquet("memory:", Durability::None)).await;
}

#[test]
fn store_urls_that_cannot_be_used_say_why() {
    for (url, reason) in [
        ("ftp://host/x", "`ftp` is none of file, memory, s3, gs, az"),
        ("gs://bucket/x", "feature `gcp`"),
        ("az://container/x", "feature `azure`"),
        ("s3:///x", "it has no bucket"),
        ("file://host/x", "it has a host"),
    ] {
        let error = Store::open(url, Path::new("/"), Durability::None, &BTreeMap::new());
        let error = error.expect_err(url).to_string();
        assert!(error.contains(reason), "{error}");
    }
}

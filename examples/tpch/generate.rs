//! TPC-H tables as Parquet files, made by `tpchgen`.

use std::fs::File;
use std::path::Path;

use arrowsmith::arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow,
    RecordBatchIterator, RegionArrow, SupplierArrow,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The tables of a scale factor, each with its name.
fn tables(scale: f64) -> Vec<(&'static str, Box<dyn RecordBatchIterator>)> {
    vec![
        ("lineitem", Box::new(LineItemArrow::new(LineItemGenerator::new(scale, 1, 1)))),
        ("orders", Box::new(OrderArrow::new(OrderGenerator::new(scale, 1, 1)))),
        ("partsupp", Box::new(PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1)))),
        ("part", Box::new(PartArrow::new(PartGenerator::new(scale, 1, 1)))),
        ("customer", Box::new(CustomerArrow::new(CustomerGenerator::new(scale, 1, 1)))),
        ("supplier", Box::new(SupplierArrow::new(SupplierGenerator::new(scale, 1, 1)))),
        ("nation", Box::new(NationArrow::new(NationGenerator::new(scale, 1, 1)))),
        ("region", Box::new(RegionArrow::new(RegionGenerator::new(scale, 1, 1)))),
    ]
}

/// Writes every table of a scale factor into `folder`, one file each; returns the rows.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn generate(scale: f64, folder: &Path) -> Result<u64, Failure> {
    std::fs::create_dir_all(folder)?;
    std::thread::scope(|scope| {
        let work: Vec<_> = tables(scale)
            .into_iter()
            .map(|(name, batches)| scope.spawn(move || write(name, batches, folder)))
            .collect();
        let mut rows = 0;
        for table in work {
            rows += table.join().map_err(|_| "a generator panicked")??;
        }
        Ok(rows)
    })
}

fn write(name: &str, batches: Box<dyn RecordBatchIterator>, folder: &Path) -> Result<u64, Failure> {
    let compression = Compression::ZSTD(ZstdLevel::try_new(1)?);
    let properties = WriterProperties::builder().set_compression(compression).build();
    // The file appears under its name only when it is whole.
    let staged = folder.join(format!(".{name}.parquet"));
    let schema = batches.schema().clone();
    let mut writer = ArrowWriter::try_new(File::create(&staged)?, schema, Some(properties))?;
    let mut rows = 0;
    for batch in batches {
        let batch: RecordBatch = batch;
        rows += batch.num_rows() as u64;
        writer.write(&batch)?;
    }
    writer.close()?;
    std::fs::rename(staged, folder.join(format!("{name}.parquet")))?;
    Ok(rows)
}

//! Reads that are shorter than they were asked to be are errors, and no shorter answers.
//!
//! What reads files by their parts trusts the store to give whole parts; the Parquet reader panics
//! over one that is cut off.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result,
};

/// A store whose reads are whole, or fail.
#[derive(Debug)]
pub(crate) struct WholeReads(pub(crate) Arc<dyn ObjectStore>);

impl fmt::Display for WholeReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn short(location: &Path, wanted: u64, found: u64) -> Error {
    let message = format!("`{location}` gave {found} bytes in the place of {wanted}");
    let source = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, message);
    Error::Generic { store: "store", source: source.into() }
}

#[async_trait]
impl ObjectStore for WholeReads {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut result = self.0.get_opts(location, options).await?;
        let wanted = result.range.end - result.range.start;
        if let GetResultPayload::Stream(stream) = result.payload {
            let (location, mut found) = (location.clone(), 0);
            let counted = stream.map(Some).chain(futures::stream::iter([None]));
            let whole = counted.filter_map(move |item| {
                let checked = match item {
                    Some(Ok(bytes)) => {
                        found += bytes.len() as u64;
                        Some(Ok(bytes))
                    }
                    Some(Err(error)) => Some(Err(error)),
                    None => (found < wanted).then(|| Err(short(&location, wanted, found))),
                };
                std::future::ready(checked)
            });
            result.payload = GetResultPayload::Stream(whole.boxed());
        }
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let found = self.0.get_ranges(location, ranges).await?;
        for (range, bytes) in ranges.iter().zip(&found) {
            let (wanted, found) = (range.end - range.start, bytes.len() as u64);
            if wanted != found {
                return Err(short(location, wanted, found));
            }
        }
        Ok(found)
    }

    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

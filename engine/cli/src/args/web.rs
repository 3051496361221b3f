//! The grammar of the web UI.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// Where the UI answers, and to whom.
#[derive(Debug, Args)]
pub(crate) struct WebArgs {
    /// Where to answer
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000", env = "ARROWSMITH_WEB")]
    pub(crate) listen: SocketAddr,
    /// The file of the token; it is made if it is not there [default: `web.token` in the home]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// A name under which the server is called, besides its address; may be given several times
    #[arg(long = "allow-host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,
    /// Let everybody in who can reach the address
    #[arg(long)]
    pub(crate) insecure_no_auth: bool,
    /// Answer SQL over the catalog; on by default in `dev`
    #[arg(long)]
    pub(crate) query: bool,
    /// Do not open a browser
    #[arg(long)]
    pub(crate) no_open: bool,
}

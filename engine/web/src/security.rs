//! Who is let in: one guard around all routes.
//!
//! | threat | control |
//! |---|---|
//! | an open server is remote execution | a 256-bit token; other addresses than loopback need one that was set on purpose |
//! | other pages of the browser (CSRF, DNS rebinding) | hosts by name or 421; origin and fetch site; changes need a header and JSON; the cookie is `HttpOnly`, `SameSite=Strict` |
//! | stored scripts | a policy without inline scripts, frames, plugins or other hosts |
//!
//! What is public is compared exactly ([`guard`]): no prefix, no pattern.

mod guard;
mod headers;
mod token;

use std::net::SocketAddr;

pub(crate) use guard::guard;
pub(crate) use headers::protect;
pub use token::Token;

/// Who is let in, and under which names.
#[derive(Debug, Clone)]
pub struct Access {
    /// What lets in; nobody is asked for anything if it is open.
    pub token: Option<Token>,
    /// Names under which the server is called besides its own, without port.
    pub hosts: Vec<String>,
}

impl Access {
    /// Whether a name in a `Host` header, without its port, is one of this server's.
    pub(crate) fn answers_to(&self, host: &str, address: SocketAddr) -> bool {
        let own = match address.ip() {
            std::net::IpAddr::V4(ip) => ip.to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let is_loopback = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        let is_own = !address.ip().is_unspecified() && host == own;
        is_loopback || is_own || self.hosts.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

//! `web` and `dev`: the repository in a browser.

use std::io::IsTerminal;

use arrowsmith_web::{Access, Token, Web, WebOptions};
use tokio_util::sync::CancellationToken;

use super::{daemon, signals};
use crate::Exit;
use crate::args::WebArgs;
use crate::context::{CommandResult, Context};
use crate::diagnostics::{report, summary};
use crate::output::{chain, complain, say};

/// The file of the token in the home.
const TOKEN_FILE: &str = "web.token";
/// A token that was set on purpose.
const TOKEN_VARIABLE: &str = "ARROWSMITH_TOKEN";

/// The UI alone: what is queued waits for a daemon.
pub(crate) async fn web(context: &Context, args: WebArgs) -> CommandResult {
    serve(context, args, false).await
}

/// The UI with a daemon of its own.
pub(crate) async fn dev(context: &Context, args: WebArgs) -> CommandResult {
    serve(context, WebArgs { query: true, ..args }, true).await
}

async fn serve(context: &Context, args: WebArgs, with_daemon: bool) -> CommandResult {
    let home = context.engine_options()?.1.load.home;
    let daemon = daemon::open(context).await?;
    let (access, is_set) = access(&args, &home).map_err(|error| refused(&error))?;
    let token = access.token.clone();
    let options = WebOptions { address: args.listen, access, query: args.query };
    let web = Web::new(daemon.clone(), options, is_set).map_err(|error| refused(&error))?;
    let listener = web.listen().await.map_err(|error| failed(&error))?;
    if let Some(problems) = daemon.problems() {
        report(&problems.0);
        complain(&summary(&problems.0));
        say("the pages show what is wrong until it is mended");
    }
    let url = format!("http://{}/", web.address());
    match &token {
        Some(token) => say(&format!("open {url}#token={}", token.reveal())),
        None => say(&format!("open {url} (whoever reaches it is let in)")),
    }
    if with_daemon && !args.no_open && std::io::stderr().is_terminal() {
        // Arguments of programs can be seen by others, so what lets in is good for once.
        let link = token.map_or_else(|| url.clone(), |_| format!("{url}#code={}", web.code()));
        if let Err(error) = open::that_detached(link) {
            say(&format!("no browser could be opened: {error}"));
        }
    }
    let cancel = CancellationToken::new();
    let signalled = signals::cancel_on_signal(cancel.clone());
    let worked = async {
        if with_daemon {
            daemon.run(cancel.clone()).await
        } else {
            daemon.follow(cancel.clone()).await
        }
    };
    let (served, worked) = tokio::join!(web.serve(listener, cancel.clone()), worked);
    served.map_err(|error| failed(&error))?;
    worked.map_err(|error| failed(&error))?;
    say("the server has stopped");
    Ok(match signalled.exit() {
        Exit::Terminated => Exit::Ok,
        other => other,
    })
}

/// Who is let in, and whether the operator has said so.
fn access(args: &WebArgs, home: &std::path::Path) -> arrowsmith_web::Result<(Access, bool)> {
    let hosts = args.hosts.clone();
    if args.insecure_no_auth {
        return Ok((Access { token: None, hosts }, true));
    }
    let given = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
    let (token, is_set) = match (given, &args.token_file) {
        (Some(token), None) => (Token::new(&token)?, true),
        (_, Some(file)) => (Token::of_file(file)?, true),
        (None, None) => (Token::of_file(&home.join(TOKEN_FILE))?, false),
    };
    Ok((Access { token: Some(token), hosts }, is_set))
}

/// What the user has asked for is not safe, or the token is of no use.
fn refused(error: &arrowsmith_web::Error) -> Exit {
    complain(&chain(error));
    Exit::Usage
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Exit {
    complain(&chain(error));
    Exit::Environment
}

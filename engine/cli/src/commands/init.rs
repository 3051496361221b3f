//! `init`: a new project that runs at once.

use std::path::Path;

use crate::Exit;
use crate::context::CommandResult;
use crate::output::{complain, say};

const FILES: [(&str, &str); 7] = [
    ("arrowsmith.toml", include_str!("../../scaffold/arrowsmith.toml")),
    (".gitignore", include_str!("../../scaffold/gitignore")),
    ("data/orders.csv", include_str!("../../scaffold/orders.csv")),
    ("assets/staging/orders.sql", include_str!("../../scaffold/staging_orders.sql")),
    ("assets/marts/daily_revenue.sql", include_str!("../../scaffold/daily_revenue.sql")),
    ("assets/marts/top_customers.sql", include_str!("../../scaffold/top_customers.sql")),
    ("tests/top_customers.toml", include_str!("../../scaffold/top_customers.toml")),
];

pub(crate) fn init(directory: &Path) -> CommandResult {
    let taken = FILES.iter().find(|(file, _)| directory.join(file).exists());
    if let Some((file, _)) = taken {
        complain(&format!("`{}` is already there", directory.join(file).display()));
        return Ok(Exit::Usage);
    }
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let name = absolute.file_name().and_then(|n| n.to_str()).unwrap_or("project");
    for (file, content) in FILES {
        let path = directory.join(file);
        let content = content.replace("PROJECT_NAME", &name.replace(['"', '\\'], "_"));
        let folder = path.parent().unwrap_or(directory);
        let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, content));
        if let Err(error) = written {
            complain(&format!("`{}` cannot be written: {error}", path.display()));
            return Ok(Exit::Environment);
        }
    }
    let shown = directory.display();
    say(&format!("project `{name}` is in `{shown}`; try"));
    let option =
        if directory == Path::new(".") { String::new() } else { format!(" --project {shown}") };
    say(&format!("  arrowsmith check{option}"));
    say(&format!("  arrowsmith test{option}"));
    say(&format!("  arrowsmith materialize{option}"));
    say(&format!("  arrowsmith show top_customers{option}"));
    Ok(Exit::Ok)
}

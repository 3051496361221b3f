//! `explain` and `completions`.

use arrowsmith_definitions::{Code, nearest};
use clap_complete::Shell;

use crate::Exit;
use crate::context::CommandResult;
use crate::output::{complain, print, written};

macro_rules! pages {
    ($($code:literal),+ $(,)?) => {
        /// The page of each code, as it stands in `explain/`.
        const PAGES: &[(&str, &str)] =
            &[$(($code, include_str!(concat!("../../explain/", $code, ".md"))),)+];
    };
}

pages!(
    "AS0101", "AS0102", "AS0103", "AS0104", "AS0105", "AS0106", "AS0107", "AS0108", "AS0109",
    "AS0110", "AS0111", "AS0112", "AS0201", "AS0202", "AS0203", "AS0204", "AS0205", "AS0206",
    "AS0207", "AS0208", "AS0209", "AS0210", "AS0211", "AS0212", "AS0301", "AS0302", "AS0303",
    "AS0304", "AS0305", "AS0306", "AS0307", "AS0401", "AS0402",
);

pub(crate) fn explain(code: Option<&str>) -> CommandResult {
    let Some(code) = code else {
        for (code, page) in PAGES {
            let title = page.lines().next().unwrap_or_default().trim_start_matches("# ");
            print(&format!("{code}  {}", title.trim_start_matches(&format!("{code}: "))))?;
        }
        return Ok(Exit::Ok);
    };
    let wanted = code.to_uppercase();
    if let Some((_, page)) = PAGES.iter().find(|(known, _)| *known == wanted) {
        print(page.trim_end())?;
        Ok(Exit::Ok)
    } else {
        let near = nearest(&wanted, Code::ALL.iter().map(|code| code.as_str()));
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        complain(&format!("there is no code `{code}`{near}"));
        Ok(Exit::Usage)
    }
}

pub(crate) fn completions(shell: Shell) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::command(), "arrowsmith", &mut script);
    written(std::io::Write::write_all(&mut std::io::stdout(), &script))?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_begins_with_it() {
        let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let pages: Vec<&str> = PAGES.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, pages);
        for (code, page) in PAGES {
            assert!(page.starts_with(&format!("# {code}: ")), "{code}");
            assert!(page.contains("## How to mend it"), "{code}");
        }
    }
}

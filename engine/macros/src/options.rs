//! What the macros share: options in their parentheses, doc comments and places.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::parse::{Parse, ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{
    Attribute, Error, Expr, ExprArray, ExprLit, Ident, ItemFn, Lit, LitStr, Meta, Path, Result,
    Token,
};

/// One `name = value`.
struct Entry {
    name: Ident,
    value: Expr,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name: Ident = input.parse()?;
        input.parse::<Token![=]>()?;
        Ok(Self { name, value: input.parse()? })
    }
}

/// The options of a macro.
pub(crate) struct Options(Vec<Entry>);

impl Options {
    /// `what` is the word for the macro in messages, `allowed` the names of its options.
    pub(crate) fn parse(tokens: TokenStream, what: &str, allowed: &[&str]) -> Result<Self> {
        let parse = |input: ParseStream<'_>| -> Result<Vec<Entry>> {
            let mut entries = Vec::new();
            while !input.is_empty() {
                let name: Ident = input.fork().parse()?;
                if !allowed.contains(&name.to_string().as_str()) {
                    let expected = allowed.join(", ");
                    let message =
                        format!("unknown {what} option `{name}`; expected one of: {expected}");
                    return Err(Error::new(name.span(), message));
                }
                entries.push(input.parse()?);
                if !input.is_empty() {
                    input.parse::<Token![,]>()?;
                }
            }
            Ok(entries)
        };
        parse.parse2(tokens).map(Self)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Expr> {
        self.0.iter().find(|option| option.name == name).map(|option| &option.value)
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<LitStr>> {
        self.get(name).map(|value| literal_text(name, value)).transpose()
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Vec<LitStr>> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Expr::Array(ExprArray { elems, .. })) => {
                elems.iter().map(|element| literal_text(name, element)).collect()
            }
            Some(other) => {
                Err(Error::new(other.span(), format!("`{name}` is a list: `{name} = [\"…\"]`")))
            }
        }
    }

    pub(crate) fn path(&self, name: &str) -> Result<Option<&Path>> {
        match self.get(name) {
            None => Ok(None),
            Some(Expr::Path(path)) => Ok(Some(&path.path)),
            Some(other) => Err(Error::new(other.span(), format!("`{name}` names a type"))),
        }
    }
}

fn literal_text(name: &str, value: &Expr) -> Result<LitStr> {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.clone()),
        other => Err(Error::new(other.span(), format!("`{name}` is a text: `{name} = \"…\"`"))),
    }
}

/// The statements that give `target` what ops and assets have alike: a description, tags, limits,
/// and the options that are texts, each by its method.
pub(crate) fn attributes(
    function: &ItemFn,
    options: &Options,
    target: &Ident,
    texts: &[(&str, &str)],
) -> Result<Vec<TokenStream>> {
    let mut statements = Vec::new();
    if let Some(text) = description(function, options)? {
        statements.push(quote! { #target = #target.with_description(#text); });
    }
    for (option, method) in texts {
        if let Some(text) = options.text(option)? {
            let method = format_ident!("{method}");
            statements.push(quote! { #target = #target.#method(#text); });
        }
    }
    for tag in options.texts("tags")? {
        statements.push(quote! { #target = #target.with_tag(#tag, ""); });
    }
    statements.extend(limits(options, target));
    Ok(statements)
}

fn limits(options: &Options, target: &Ident) -> Vec<TokenStream> {
    let mut statements = Vec::new();
    if let Some(seconds) = options.get("timeout_secs") {
        statements.push(quote! {
            #target = #target.with_timeout(::std::time::Duration::from_secs(#seconds));
        });
    }
    if let Some(retries) = options.get("max_retries") {
        let delay = options.get("retry_delay_secs").map_or(quote! { 1 }, |d| quote! { #d });
        statements.push(quote! {
            #target = #target.with_retry(::arrowsmith::RetryPolicy {
                max_retries: #retries,
                delay: ::std::time::Duration::from_secs(#delay),
                backoff: ::arrowsmith::Backoff::Exponential,
                jitter: ::arrowsmith::Jitter::PlusMinus,
            });
        });
    }
    statements
}

/// The option `description`, else the doc comment.
pub(crate) fn description(function: &ItemFn, options: &Options) -> Result<Option<String>> {
    Ok(match options.text("description")? {
        Some(text) => Some(text.value()),
        None => doc_comment(&function.attrs),
    })
}

/// The place of a span, as the compiler knows it where the code is expanded.
pub(crate) fn place(span: Span) -> TokenStream {
    quote_spanned! { span =>
        ::arrowsmith::Place::point(
            ::std::file!(),
            ::std::line!() as usize,
            ::std::column!() as usize,
        )
    }
}

fn doc_comment(attributes: &[Attribute]) -> Option<String> {
    let lines: Vec<String> = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"))
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
                    Some(text.value().trim().to_owned())
                }
                _ => None,
            },
            _ => None,
        })
        .collect();
    let text = lines.join("\n").trim().to_owned();
    (!text.is_empty()).then_some(text)
}

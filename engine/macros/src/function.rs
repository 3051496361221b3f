//! What the macros over functions share: the function, and what its parameters say.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, FnArg, Ident, ItemFn, LitStr, Pat, Result, Type};

use crate::options::Options;

/// Expands a macro over a function; `make` may take attributes off its parameters.
///
/// The function stays in the output also when the macro fails, so that editors keep working.
pub(crate) fn expand(
    options: TokenStream,
    item: &TokenStream,
    (what, allowed): (&str, &[&str]),
    make: impl FnOnce(&mut ItemFn, &Options) -> Result<TokenStream>,
) -> TokenStream {
    let mut function: ItemFn = match syn::parse2(TokenStream::clone(item)) {
        Ok(function) => function,
        Err(error) => {
            let error = error.to_compile_error();
            return quote! { #error #item };
        }
    };
    let made = match Options::parse(options, what, allowed) {
        Ok(options) => make(&mut function, &options),
        Err(error) => {
            // Attributes of parameters are no Rust; they go also when nothing is made of them.
            drop(parameters(&mut function, what, &["key", "default", "io_manager"]));
            Err(error)
        }
    };
    made.unwrap_or_else(|error| {
        let error = error.to_compile_error();
        quote! { #function #error }
    })
}

/// A parameter and what its `#[input(…)]` says.
pub(crate) struct Parameter {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) input: InputOptions,
}

/// `#[input(key = "…", default = …, io_manager = "…")]`.
#[derive(Default)]
pub(crate) struct InputOptions {
    /// The asset that it reads, if that is not its name.
    pub(crate) key: Option<LitStr>,
    /// What it is if nothing is wired to it.
    pub(crate) default: Option<Expr>,
    /// The IO manager that loads it, if it is not the one that stored it.
    pub(crate) io_manager: Option<LitStr>,
}

/// The parameters of a function, with `#[input]` taken off; `what` is an asset, an op or a graph.
pub(crate) fn parameters(
    function: &mut ItemFn,
    what: &str,
    allowed: &[&str],
) -> Result<Vec<Parameter>> {
    let (mut parameters, mut failed) = (Vec::new(), None);
    for argument in &mut function.sig.inputs {
        let FnArg::Typed(typed) = argument else {
            let message = format!("`#[{what}]` stands on a function without `self`");
            return Err(Error::new(argument.span(), message));
        };
        let mut input = InputOptions::default();
        for attribute in typed.attrs.extract_if(.., |a| a.path().is_ident("input")) {
            failed = failed.or(input.read(&attribute, allowed).err());
        }
        let Pat::Ident(name) = &*typed.pat else {
            let message = "a parameter has a plain name, which is that of the input";
            return Err(failed.unwrap_or_else(|| Error::new(typed.pat.span(), message)));
        };
        let ty = (*typed.ty).clone();
        parameters.push(Parameter { name: name.ident.clone(), ty, input });
    }
    failed.map_or(Ok(parameters), Err)
}

impl InputOptions {
    fn read(&mut self, attribute: &Attribute, allowed: &[&str]) -> Result<()> {
        attribute.parse_nested_meta(|meta| {
            let name = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            match name.as_str() {
                known if !allowed.contains(&known) => {
                    let names = allowed.iter().map(|name| format!("`{name}`"));
                    let names = names.collect::<Vec<_>>().join(", ");
                    Err(meta.error(format!("unknown input option; expected one of {names}")))
                }
                "key" => meta.value()?.parse().map(|text| self.key = Some(text)),
                "default" => meta.value()?.parse().map(|value| self.default = Some(value)),
                _ => meta.value()?.parse().map(|text| self.io_manager = Some(text)),
            }
        })
    }
}

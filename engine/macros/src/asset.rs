//! `#[asset]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Ident, ItemFn, LitStr, Result, ReturnType, Type};

use crate::function::{self, Parameter, parameters};
use crate::options::{Options, attributes, place};

const OPTIONS: [&str; 13] = [
    "name",
    "group",
    "description",
    "code_version",
    "io_manager",
    "tags",
    "owners",
    "kinds",
    "partition_by",
    "schema",
    "timeout_secs",
    "max_retries",
    "retry_delay_secs",
];

pub(crate) fn expand(options: TokenStream, item: &TokenStream) -> TokenStream {
    function::expand(options, item, ("asset", &OPTIONS), |function, options| {
        let parameters = parameters(function, "asset", &["key", "io_manager"])?;
        let definition = definition(function, &parameters, options)?;
        Ok(quote! { #function #definition })
    })
}

#[expect(clippy::too_many_lines, reason = "one template reads better in one piece")]
fn definition(
    function: &ItemFn,
    parameters: &[Parameter],
    options: &Options,
) -> Result<TokenStream> {
    let name = &function.sig.ident;
    let visibility = &function.vis;
    let output: Type = match &function.sig.output {
        ReturnType::Type(_, ty) => (**ty).clone(),
        ReturnType::Default => {
            let message = "an asset returns a table, such as a `DataFrame` or `Vec<Row>`";
            return Err(Error::new(name.span(), message));
        }
    };
    let declared = parameters.iter().map(|Parameter { name, ty, input }| {
        let text = name.to_string();
        let rename = input.key.iter().map(|key| {
            quote! { declaration.rename(#text, &::arrowsmith::AssetReference::to(&key(#key))); }
        });
        let loaded = input.io_manager.iter().map(|manager| {
            quote! { declaration.load_by(#text, #manager); }
        });
        let declare = quote_spanned! { ty.span() =>
            <#ty as ::arrowsmith::AssetParam>::declare(#text, &mut declaration);
        };
        let place = place(name.span());
        quote! { #declare declaration.place(#text, &#place); #(#rename)* #(#loaded)* }
    });
    let extracted = parameters.iter().enumerate().map(|(i, Parameter { name, ty, .. })| {
        let (text, variable) = (name.to_string(), format_ident!("parameter_{i}"));
        quote_spanned! { ty.span() =>
            let #variable =
                <#ty as ::arrowsmith::AssetParam>::extract(#text, &context).await?;
        }
    });
    let arguments: Vec<Ident> =
        (0..parameters.len()).map(|i| format_ident!("parameter_{i}")).collect();
    let call = if function.sig.asyncness.is_some() {
        quote! { #name(#(#arguments),*).await }
    } else {
        quote! {
            ::arrowsmith::FunctionAsset::blocking(move || #name(#(#arguments),*)).await?
        }
    };
    let output_span = output.span();
    let schema = if let Some(row) = options.path("schema")? {
        quote! { ::std::option::Option::Some(<#row as ::arrowsmith::Columns>::schema()) }
    } else {
        quote_spanned! { output_span => <#output as ::arrowsmith::IntoOutput>::schema() }
    };
    let into_plan = quote_spanned! { output_span =>
        <#output as ::arrowsmith::IntoOutput>::into_plan(output, &context).await
    };
    let key_text = match options.text("name")? {
        Some(text) => text,
        None => LitStr::new(name.to_string().trim_start_matches("r#"), name.span()),
    };
    check_key(&key_text)?;
    for Parameter { input, .. } in parameters {
        input.key.as_ref().map_or(Ok(()), check_key)?;
    }
    // Tokens rather than text, so that comments and spacing are not code.
    let code = {
        let (signature, body) = (&function.sig, &function.block);
        quote! { #signature #body }.to_string()
    };
    let attributes = asset_attributes(function, options)?;
    let place = place(name.span());
    let documentation = format!("The asset of the function `{name}`.");
    Ok(quote! {
        #[doc = #documentation]
        #[allow(non_camel_case_types, reason = "it is named like its function")]
        #[derive(Debug)]
        #visibility enum #name {}

        impl #name {
            /// The asset, as it is added to a repository.
            #visibility fn asset() -> ::arrowsmith::Asset {
                fn key(text: &str) -> ::arrowsmith::AssetKey {
                    text.parse().expect("the macro has checked the key")
                }
                let mut declaration = ::arrowsmith::Declaration::default();
                #(#declared)*
                let function = ::arrowsmith::FunctionAsset::from_parts(
                    declaration,
                    #schema,
                    #code,
                    |context: ::arrowsmith::ComputeContext| ::std::boxed::Box::pin(async move {
                        #(#extracted)*
                        let output = #call;
                        #into_plan
                    }),
                );
                let mut asset = function.into_asset(key(#key_text));
                asset.place = ::std::option::Option::Some(#place);
                #attributes
                asset
            }
        }
    })
}

/// The same rules as those of `AssetKey`, so that a wrong key does not compile.
fn check_key(text: &LitStr) -> Result<()> {
    let value = text.value();
    let plain = |segment: &str| {
        let mut chars = segment.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let quoted = |segment: &str| {
        segment.len() > 2
            && segment.starts_with('"')
            && segment.ends_with('"')
            && !segment.contains(char::is_control)
    };
    let segments: Vec<&str> = value.split(['.', '/']).collect();
    if segments.len() <= 3 && segments.iter().all(|s| plain(s) || quoted(s)) {
        return Ok(());
    }
    let message = format!(
        "`{value}` is not an asset key: it has one to three segments of letters, digits and `_`, \
         joined by dots"
    );
    Err(Error::new(text.span(), message))
}

const TEXTS: [(&str, &str); 3] = [
    ("group", "with_group"),
    ("code_version", "with_code_version"),
    ("io_manager", "with_io_manager"),
];

fn asset_attributes(function: &ItemFn, options: &Options) -> Result<TokenStream> {
    let mut statements = attributes(function, options, &format_ident!("asset"), &TEXTS)?;
    for owner in options.texts("owners")? {
        statements.push(quote! { asset = asset.with_owner(#owner); });
    }
    for kind in options.texts("kinds")? {
        statements.push(quote! { asset = asset.with_kind(#kind); });
    }
    let columns = options.texts("partition_by")?;
    if !columns.is_empty() {
        statements.push(quote! { asset = asset.with_partition_by([#(#columns),*]); });
    }
    Ok(quote! { #(#statements)* })
}

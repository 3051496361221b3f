//! `#[graph]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Error, FnArg, GenericArgument, Ident, ItemFn, LitStr, Pat, PathArguments, Result, ReturnType,
    Type,
};

use crate::options::{Options, description, place};

const OPTIONS: [&str; 3] = ["name", "description", "outputs"];

pub(crate) fn expand(options: TokenStream, item: &TokenStream) -> TokenStream {
    let function: ItemFn = match syn::parse2(TokenStream::clone(item)) {
        Ok(function) => function,
        Err(error) => {
            let error = error.to_compile_error();
            return quote! { #error #item };
        }
    };
    let options = Options::parse(options, "graph", &OPTIONS);
    let made = options.and_then(|options| definition(&function, &options));
    made.unwrap_or_else(|error| {
        let error = error.to_compile_error();
        quote! { #function #error }
    })
}

/// Each input: its name, and the type of the value that its handle holds.
fn inputs(function: &ItemFn) -> Result<Vec<(Ident, Type)>> {
    let mut inputs = Vec::new();
    for argument in &function.sig.inputs {
        let FnArg::Typed(typed) = argument else {
            return Err(Error::new(argument.span(), "a graph is a function without `self`"));
        };
        let Pat::Ident(name) = &*typed.pat else {
            let message = "a parameter has a plain name, which is that of the input";
            return Err(Error::new(typed.pat.span(), message));
        };
        let Some(value) = handle_value(&typed.ty) else {
            let message = "an input of a graph is a `Handle<T>` of what its nodes take";
            return Err(Error::new(typed.ty.span(), message));
        };
        inputs.push((name.ident.clone(), value.clone()));
    }
    Ok(inputs)
}

fn handle_value(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last().filter(|segment| segment.ident == "Handle")?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

fn definition(function: &ItemFn, options: &Options) -> Result<TokenStream> {
    if let Some(asyncness) = &function.sig.asyncness {
        let message = "a graph only wires ops; it is no async function";
        return Err(Error::new(asyncness.span(), message));
    }
    let (name, visibility) = (&function.sig.ident, &function.vis);
    let unit: Type = syn::parse_quote! { () };
    let output = match &function.sig.output {
        ReturnType::Type(_, ty) => &**ty,
        ReturnType::Default => &unit,
    };
    let inputs = inputs(function)?;
    let (names, values): (Vec<Ident>, Vec<Type>) = inputs.into_iter().unzip();
    let texts: Vec<String> = names.iter().map(ToString::to_string).collect();
    let graph_name = match options.text("name")? {
        Some(text) => text,
        None => LitStr::new(name.to_string().trim_start_matches("r#"), name.span()),
    };
    let outputs = options.texts("outputs")?;
    let described = description(function, options)?;
    let described = described.map(|text| quote! { .with_description(#text) });
    let place = place(name.span());
    let (parameters, block) = (&function.sig.inputs, &function.block);
    let handles = quote_spanned! { output.span() => <#output as ::arrowsmith::Handles> };
    let documentation = format!("The graph of the function `{name}`.");
    let call = format!("Calls the graph `{name}` in the body of another.");
    Ok(quote! {
        #[doc = #documentation]
        #[allow(non_camel_case_types, reason = "it is named like its function")]
        #[derive(Debug)]
        #visibility enum #name {}

        impl #name {
            /// The graph, as it is given to a job or an asset.
            #visibility fn graph() -> ::arrowsmith::Graph {
                fn body(#parameters) -> #output #block
                let mut graph = ::arrowsmith::compose(
                    #graph_name,
                    &[#(#outputs),*],
                    |inputs: &mut ::arrowsmith::GraphInputs| {
                        let _ = &inputs;
                        body(#(inputs.input::<#values>(#texts)),*)
                    },
                ) #described;
                graph.place = ::std::option::Option::Some(#place);
                graph
            }
        }

        #[doc = #call]
        #[allow(dead_code, reason = "a graph may be used without a call")]
        #visibility fn #name(#(#names: impl ::arrowsmith::IntoInput<#values>),*) -> #output {
            let node = ::arrowsmith::node(#name::graph())
                #(.connect::<#values>(#texts, #names))*;
            #handles::of_node(&node, &[#(#outputs),*])
        }
    })
}

//! `#[graph]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, GenericArgument, Ident, ItemFn, LitStr, PathArguments, Result, ReturnType, Type};

use crate::function::{self, Parameter, parameters};
use crate::options::{Options, description, place};

const OPTIONS: [&str; 3] = ["name", "description", "outputs"];

pub(crate) fn expand(options: TokenStream, item: &TokenStream) -> TokenStream {
    function::expand(options, item, ("graph", &OPTIONS), |function, options| {
        let inputs = inputs(parameters(function, "graph", &[])?)?;
        definition(function, inputs, options)
    })
}

/// Each input: its name, and the type of the value that its handle holds.
fn inputs(parameters: Vec<Parameter>) -> Result<Vec<(Ident, Type)>> {
    let value = |Parameter { name, ty, .. }: Parameter| match handle_value(&ty) {
        Some(value) => Ok((name, value.clone())),
        None => {
            let message = "an input of a graph is a `Handle<T>` of what its nodes take";
            Err(Error::new(ty.span(), message))
        }
    };
    parameters.into_iter().map(value).collect()
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

fn definition(
    function: &ItemFn,
    inputs: Vec<(Ident, Type)>,
    options: &Options,
) -> Result<TokenStream> {
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

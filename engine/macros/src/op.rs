//! `#[op]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, GenericArgument, Ident, ItemFn, LitStr, PathArguments, Result, ReturnType, Type};

use crate::function::{self, Parameter, parameters};
use crate::options::{Options, attributes, place};

const OPTIONS: [&str; 10] = [
    "name",
    "description",
    "outputs",
    "tags",
    "pool",
    "io_manager",
    "code_version",
    "timeout_secs",
    "max_retries",
    "retry_delay_secs",
];

const TEXTS: [(&str, &str); 3] = [
    ("pool", "with_pool"),
    ("io_manager", "with_io_manager"),
    ("code_version", "with_code_version"),
];

/// Parameters of these types are no inputs; traits cannot tell, so their names do.
const EXTRACTORS: [&str; 3] = ["OpContext", "Config", "Resource"];

#[derive(PartialEq)]
enum Kind {
    /// Comes with the context: the context itself, configuration, a resource.
    Extractor,
    /// Only orders.
    Nothing,
    Input,
}

/// One output: its name, the type of its value, and how it is emitted.
struct Output {
    name: LitStr,
    ty: Type,
    emission: Emission,
}

enum Emission {
    Required,
    Optional,
    Dynamic,
}

pub(crate) fn expand(options: TokenStream, item: &TokenStream) -> TokenStream {
    function::expand(options, item, ("op", &OPTIONS), |function, options| {
        let mut parameters = parameters(function, "op", &["default", "io_manager"])?;
        for Parameter { name, .. } in &mut parameters {
            // `_after: Nothing` is an input `after`, which the function does not use.
            let text = name.to_string();
            *name = Ident::new(text.trim_start_matches('_'), name.span());
        }
        definition(function, &parameters, options)
    })
}

impl Kind {
    fn of(parameter: &Parameter) -> Self {
        match last_segment(&parameter.ty) {
            Some((name, _)) if EXTRACTORS.iter().any(|known| name == known) => Self::Extractor,
            Some((name, _)) if name == "Nothing" => Self::Nothing,
            _ => Self::Input,
        }
    }
}

/// The parameters that values are wired to.
fn inputs(parameters: &[Parameter]) -> impl Iterator<Item = &Parameter> {
    parameters.iter().filter(|parameter| Kind::of(parameter) != Kind::Extractor)
}

/// The last name of a path, and its first type argument.
fn last_segment(ty: &Type) -> Option<(&Ident, Option<&Type>)> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last()?;
    let argument = match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => {
            arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            })
        }
        _ => None,
    };
    Some((&segment.ident, argument))
}

/// The type inside of a `Name<T>`.
fn inside<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    last_segment(ty).filter(|(found, _)| *found == name).and_then(|(_, argument)| argument)
}

/// The outputs, and whether the function may fail.
fn outputs(function: &ItemFn, options: &Options) -> Result<(Vec<Output>, bool)> {
    let unit: Type = syn::parse_quote! { () };
    let returned = match &function.sig.output {
        ReturnType::Type(_, ty) => &**ty,
        ReturnType::Default => &unit,
    };
    let value = inside(returned, "Result");
    let (value, is_fallible) = (value.unwrap_or(returned), value.is_some());
    let names = options.texts("outputs")?;
    let output = |name: LitStr, ty: &Type| {
        let (ty, emission) = if let Some(ty) = inside(ty, "Option") {
            (ty, Emission::Optional)
        } else if let Some(ty) = inside(ty, "DynamicOutputs") {
            (ty, Emission::Dynamic)
        } else {
            (ty, Emission::Required)
        };
        Output { name, ty: ty.clone(), emission }
    };
    if names.len() < 2 {
        let default = LitStr::new("result", value.span());
        let name = names.into_iter().next().unwrap_or(default);
        return Ok((vec![output(name, value)], is_fallible));
    }
    match value {
        Type::Tuple(tuple) if tuple.elems.len() == names.len() => {
            let outputs = names.into_iter().zip(&tuple.elems);
            Ok((outputs.map(|(name, ty)| output(name, ty)).collect(), is_fallible))
        }
        other => {
            let count = names.len();
            let message = format!("an op with {count} outputs returns a tuple of {count} values");
            Err(Error::new(other.span(), message))
        }
    }
}

fn definition(
    function: &ItemFn,
    parameters: &[Parameter],
    options: &Options,
) -> Result<TokenStream> {
    let name = &function.sig.ident;
    let visibility = &function.vis;
    let (outputs, is_fallible) = outputs(function, options)?;
    let op = op(function, parameters, &outputs, is_fallible, options)?;
    let invoke = {
        let (asyncness, inputs) = (&function.sig.asyncness, &function.sig.inputs);
        let (output, block) = (&function.sig.output, &function.block);
        let docs = function.attrs.iter();
        quote! {
            #(#docs)*
            ///
            /// Runs the op directly, without a graph.
            #visibility #asyncness fn invoke(#inputs) #output #block
        }
    };
    let call = call(name, visibility, parameters, &outputs);
    let documentation = format!("The op of the function `{name}`.");
    Ok(quote! {
        #[doc = #documentation]
        #[allow(non_camel_case_types, reason = "it is named like its function")]
        #[derive(Debug)]
        #visibility enum #name {}

        impl #name {
            #op
            #invoke
        }

        #call
    })
}

/// What a call in a graph's body does.
fn call(
    name: &Ident,
    visibility: &syn::Visibility,
    parameters: &[Parameter],
    outputs: &[Output],
) -> TokenStream {
    let arguments = inputs(parameters).map(|Parameter { name, ty, .. }| {
        quote! { #name: impl ::arrowsmith::IntoInput<#ty> }
    });
    let connected = inputs(parameters).map(|Parameter { name, ty, .. }| {
        let text = name.to_string();
        quote! { .connect::<#ty>(#text, #name) }
    });
    let handle = |Output { ty, emission, .. }: &Output| match emission {
        Emission::Dynamic => quote! { ::arrowsmith::DynamicHandle<#ty> },
        _ => quote! { ::arrowsmith::Handle<#ty> },
    };
    let made = |Output { name, emission, .. }: &Output| match emission {
        Emission::Dynamic => quote! { node.dynamic(#name) },
        _ => quote! { node.handle(#name) },
    };
    let (types, values): (Vec<_>, Vec<_>) = outputs.iter().map(|o| (handle(o), made(o))).unzip();
    let (types, values) = match (types.as_slice(), values.as_slice()) {
        ([ty], [value]) => (quote! { #ty }, quote! { #value }),
        _ => (quote! { (#(#types),*) }, quote! { (#(#values),*) }),
    };
    let documentation = format!("Calls the op `{name}` in the body of a graph.");
    quote! {
        #[doc = #documentation]
        #[allow(dead_code, reason = "an op may be used without a call")]
        #visibility fn #name(#(#arguments),*) -> #types {
            let node = ::arrowsmith::node(#name::op()) #(#connected)*;
            #values
        }
    }
}

#[expect(clippy::too_many_lines, reason = "one template reads better in one piece")]
fn op(
    function: &ItemFn,
    parameters: &[Parameter],
    outputs: &[Output],
    is_fallible: bool,
    options: &Options,
) -> Result<TokenStream> {
    let (name, visibility) = (&function.sig.ident, &function.vis);
    let extractors = parameters.iter().filter(|p| Kind::of(p) == Kind::Extractor);
    let declared = extractors.map(|p| {
        let (ty, text) = (&p.ty, p.name.to_string());
        quote_spanned! { ty.span() =>
            <#ty as ::arrowsmith::AssetParam>::declare(#text, &mut declaration);
        }
    });
    let extracted = parameters.iter().enumerate().map(|(i, parameter)| {
        let Parameter { name, ty, .. } = parameter;
        let (text, variable) = (name.to_string(), format_ident!("parameter_{i}"));
        match Kind::of(parameter) {
            Kind::Extractor => quote_spanned! { ty.span() =>
                let #variable = <#ty as ::arrowsmith::AssetParam>::extract(#text, &context).await?;
            },
            Kind::Nothing => quote! { let #variable = ::arrowsmith::Nothing; },
            Kind::Input => quote_spanned! { ty.span() =>
                let #variable = context.load::<#ty>(#text).await?;
            },
        }
    });
    let arguments: Vec<Ident> =
        (0..parameters.len()).map(|i| format_ident!("parameter_{i}")).collect();
    let call = if function.sig.asyncness.is_some() {
        quote! { Self::invoke(#(#arguments),*).await }
    } else {
        quote! {
            ::arrowsmith::FunctionAsset::blocking(move || Self::invoke(#(#arguments),*)).await?
        }
    };
    let question = is_fallible.then(|| quote! { let output = output?; });
    let values: Vec<TokenStream> = match outputs {
        [_] => vec![quote! { output }],
        several => (0..several.len())
            .map(|i| {
                let i = syn::Index::from(i);
                quote! { output.#i }
            })
            .collect(),
    };
    let emitted =
        outputs.iter().zip(&values).map(|(Output { name, ty, emission }, value)| match emission {
            Emission::Required => quote_spanned! { ty.span() => .with::<#ty>(#name, #value)? },
            Emission::Optional => quote! { .with_optional::<#ty>(#name, #value)? },
            Emission::Dynamic => quote! { .with_dynamic::<#ty>(#name, #value)? },
        });
    let inputs = inputs(parameters).map(|p| {
        let (ty, text) = (&p.ty, p.name.to_string());
        let value_type = match (Kind::of(p), inside(ty, "Vec")) {
            (Kind::Nothing, _) => quote! { ::arrowsmith::ValueType::nothing() },
            (_, Some(item)) => quote! { ::arrowsmith::ValueType::vec_of::<#item>() },
            _ => quote_spanned! { ty.span() => ::arrowsmith::ValueType::of::<#ty>() },
        };
        let default = match &p.input.default {
            Some(default) => quote! { ::arrowsmith::default_value::<#ty>(#default) },
            None => quote! { ::std::option::Option::None },
        };
        let loaded = p.input.io_manager.iter().map(|manager| {
            quote! { .with_input_manager(#text, #manager) }
        });
        quote! { .input(#text, #value_type, #default) #(#loaded)* }
    });
    let given = outputs.iter().map(|Output { name, ty, emission }| match emission {
        Emission::Required => quote_spanned! { ty.span() => .with_output::<#ty>(#name) },
        Emission::Optional => quote! { .with_optional_output::<#ty>(#name) },
        Emission::Dynamic => quote! { .with_dynamic_output::<#ty>(#name) },
    });
    let op_name = match options.text("name")? {
        Some(text) => text,
        None => LitStr::new(name.to_string().trim_start_matches("r#"), name.span()),
    };
    let code = {
        let (signature, body) = (&function.sig, &function.block);
        quote! { #signature #body }.to_string()
    };
    let attributes = attributes(function, options, &format_ident!("op"), &TEXTS)?;
    let place = place(name.span());
    Ok(quote! {
        /// The op, as it is added to a graph by hand.
        #visibility fn op() -> ::arrowsmith::Op {
            #[allow(unused_mut, reason = "an op may need nothing but its inputs")]
            let mut declaration = ::arrowsmith::Declaration::default();
            #(#declared)*
            let op = ::arrowsmith::Op::from_parts(
                #op_name,
                declaration,
                #code,
                |context: ::arrowsmith::ComputeContext| ::std::boxed::Box::pin(async move {
                    let _ = &context;
                    #(#extracted)*
                    let output = #call;
                    #question
                    let outputs = ::arrowsmith::Outputs::default() #(#emitted)*;
                    ::std::result::Result::Ok(outputs)
                }),
            );
            #[allow(unused_mut, reason = "an op may have no options")]
            let mut op = op #(#inputs)* #(#given)*.at(#place);
            #(#attributes)*
            op
        }
    })
}

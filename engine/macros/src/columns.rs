//! `#[derive(Columns)]`.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, Ident, LitStr, Result, Type, Visibility};

/// A field and the column that it is.
struct Column {
    field: Ident,
    visibility: Visibility,
    ty: Type,
    name: String,
    timezone: Option<LitStr>,
}

pub(crate) fn expand(item: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(item) {
        Ok(input) => input,
        Err(error) => return error.to_compile_error(),
    };
    match columns(&input) {
        Ok(columns) => implementation(&input, &columns),
        Err(error) => error.to_compile_error(),
    }
}

fn columns(input: &DeriveInput) -> Result<Vec<Column>> {
    let refuse = |message: &str| Err(Error::new(input.ident.span(), message));
    if !input.generics.params.is_empty() {
        return refuse("a row type has no generic parameters");
    }
    let Data::Struct(data) = &input.data else {
        return refuse("`Columns` is derived for a struct, whose fields are the columns");
    };
    let Fields::Named(fields) = &data.fields else {
        return refuse("the fields of a row type have names, which are those of the columns");
    };
    if fields.named.is_empty() {
        return refuse("a row type has at least one field");
    }
    fields.named.iter().map(column).collect()
}

fn column(field: &Field) -> Result<Column> {
    let ident =
        field.ident.clone().ok_or_else(|| Error::new(field.span(), "a field has a name"))?;
    let (mut name, mut timezone) = (None, None);
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("column")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.path.is_ident("timezone") {
                timezone = Some(meta.value()?.parse()?);
            } else {
                return Err(meta.error("unknown column option; expected `name` or `timezone`"));
            }
            Ok(())
        })?;
    }
    Ok(Column {
        name: name.unwrap_or_else(|| ident.to_string().trim_start_matches("r#").to_owned()),
        visibility: field.vis.clone(),
        ty: field.ty.clone(),
        field: ident,
        timezone,
    })
}

/// The struct of the columns of a batch, with one method a column.
fn view(input: &DeriveInput, view: &Ident, columns: &[Column]) -> TokenStream {
    let visibility = &input.vis;
    let fields: Vec<&Ident> = columns.iter().map(|c| &c.field).collect();
    let arrays: Vec<TokenStream> = columns.iter().map(|c| of_type(&c.ty, "Array")).collect();
    let visibilities: Vec<&Visibility> = columns.iter().map(|c| &c.visibility).collect();
    let documentation = format!("The columns of `{}` in one batch, without copying.", input.ident);
    let methods = columns.iter().map(|c| format!("The column `{}`.", c.name));
    quote! {
        #[doc = #documentation]
        #visibility struct #view<'a> {
            #(#fields: &'a #arrays,)*
        }

        #[automatically_derived]
        impl ::std::clone::Clone for #view<'_> {
            fn clone(&self) -> Self {
                *self
            }
        }

        #[automatically_derived]
        impl ::std::marker::Copy for #view<'_> {}

        #[automatically_derived]
        impl ::std::fmt::Debug for #view<'_> {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(::std::stringify!(#view)).finish_non_exhaustive()
            }
        }

        #[allow(dead_code, reason = "not every reader needs every column")]
        impl<'a> #view<'a> {
            #(
                #[doc = #methods]
                #visibilities fn #fields(&self) -> &'a #arrays {
                    self.#fields
                }
            )*
        }
    }
}

fn implementation(input: &DeriveInput, columns: &[Column]) -> TokenStream {
    let row = &input.ident;
    let view_name = format_ident!("{row}Columns");
    let view = view(input, &view_name, columns);
    let fields: Vec<&Ident> = columns.iter().map(|c| &c.field).collect();
    let downcast = columns.iter().map(|c| of_type(&c.ty, "downcast"));
    let value = columns.iter().map(|c| of_type(&c.ty, "value"));
    let build = columns.iter().map(|c| of_type(&c.ty, "build"));
    let positions: Vec<usize> = (0..columns.len()).collect();
    let arrow_fields = columns.iter().map(|column| {
        let name = &column.name;
        let (data_type, nullable) =
            (of_type(&column.ty, "data_type"), of_type(&column.ty, "NULLABLE"));
        let zone = if let Some(zone) = &column.timezone {
            quote! { ::std::option::Option::Some(#zone) }
        } else {
            quote! { ::std::option::Option::None }
        };
        quote! { ::arrowsmith::struct_field(#name, #data_type(), #nullable, #zone) }
    });
    quote! {
        #view

        #[automatically_derived]
        impl ::arrowsmith::Columns for #row {
            type View<'a> = #view_name<'a>;

            fn fields() -> ::arrowsmith::arrow::datatypes::Fields {
                ::std::vec![#(#arrow_fields),*].into()
            }

            fn view(columns: &[::arrowsmith::arrow::array::ArrayRef]) -> Self::View<'_> {
                #view_name { #(#fields: #downcast(&columns[#positions]),)* }
            }

            fn row(view: &Self::View<'_>, row: usize) -> Self {
                Self { #(#fields: #value(view.#fields, row),)* }
            }

            fn arrays(
                rows: ::std::vec::Vec<::std::option::Option<Self>>,
            ) -> ::std::vec::Vec<::arrowsmith::arrow::array::ArrayRef> {
                #(let mut #fields = ::std::vec::Vec::with_capacity(rows.len());)*
                for row in rows {
                    match row {
                        ::std::option::Option::Some(row) => {
                            #(#fields.push(::std::option::Option::Some(row.#fields));)*
                        }
                        ::std::option::Option::None => {
                            #(#fields.push(::std::option::Option::None);)*
                        }
                    }
                }
                let fields = <Self as ::arrowsmith::Columns>::fields();
                ::std::vec![#(
                    ::arrowsmith::typed_array(#build(#fields), &fields[#positions]),
                )*]
            }
        }

        impl ::arrowsmith::StructType for #row {}
    }
}

/// `<T as ColumnType>::item`, with the spans of the type's first and last token, so that one
/// without an Arrow type is marked once, as a whole, where it stands.
fn of_type(ty: &Type, item: &str) -> TokenStream {
    let tokens: Vec<TokenTree> = ty.to_token_stream().into_iter().collect();
    let span = |token: Option<&TokenTree>| token.map_or_else(Span::call_site, TokenTree::span);
    let (first, last) = (span(tokens.first()), span(tokens.last()));
    let item = Ident::new(item, last);
    let open = quote_spanned! { first => < };
    let rest = quote_spanned! { last => as ::arrowsmith::ColumnType>::#item };
    quote! { #open #ty #rest }
}

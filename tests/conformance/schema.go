package conformance

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hcldec"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctymsgpack "github.com/zclconf/go-cty/cty/msgpack"
)

// Schema turns an encoded Spec into what the HCL decoder takes.
func Schema(bytes []byte) (hcldec.Spec, error) {
	spec, err := Decode("Spec", bytes)
	if err != nil {
		return nil, err
	}
	return toSpec(spec, "")
}

func toSpec(spec M, implied string) (hcldec.Spec, error) {
	name := func(of M) string {
		if of.Str("name") != "" {
			return of.Str("name")
		}
		return implied
	}
	for kind, value := range spec {
		of := value.(M)
		switch kind {
		case "object":
			return toObject(of)
		case "attr":
			kind, err := toType(of.Str("type"))
			return &hcldec.AttrSpec{Name: name(of), Type: kind, Required: of.Bool("required")}, err
		case "block_value":
			nested, err := toSpec(of["nested"].(M), "")
			return &hcldec.BlockSpec{TypeName: name(of), Nested: nested, Required: of.Bool("required")}, err
		case "block_attrs":
			kind, err := toType(of.Str("type"))
			return &hcldec.BlockAttrsSpec{TypeName: name(of), ElementType: kind, Required: of.Bool("required")}, err
		case "block_list":
			nested, err := toSpec(of["nested"].(M), "")
			return &hcldec.BlockListSpec{TypeName: name(of), Nested: nested, MinItems: of.Int("min_items"), MaxItems: of.Int("max_items")}, err
		case "default_value":
			primary, err := toSpec(of["primary"].(M), "")
			if err != nil {
				return nil, err
			}
			fallback, err := toSpec(of["fallback"].(M), "")
			return &hcldec.DefaultSpec{Primary: primary, Default: fallback}, err
		case "literal":
			expr, diags := hclsyntax.ParseExpression([]byte(of.Str("value")), "literal", hcl.InitialPos)
			if diags.HasErrors() {
				return nil, diags
			}
			value, diags := expr.Value(nil)
			if diags.HasErrors() {
				return nil, diags
			}
			return &hcldec.LiteralSpec{Value: value}, nil
		}
		return nil, fmt.Errorf("%s is not handled", kind)
	}
	return nil, fmt.Errorf("a Spec with nothing in it")
}

func toObject(of M) (hcldec.Spec, error) {
	object := hcldec.ObjectSpec{}
	for _, item := range of.List("attributes") {
		entry := item.(M)
		value, err := toSpec(entry["value"].(M), entry.Str("key"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry.Str("key"), err)
		}
		object[entry.Str("key")] = value
	}
	return object, nil
}

func toType(text string) (cty.Type, error) {
	expr, diags := hclsyntax.ParseExpression([]byte(text), "type", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilType, diags
	}
	kind, diags := typeexpr.TypeConstraint(expr)
	if diags.HasErrors() {
		return cty.NilType, diags
	}
	return kind, nil
}

// PackHCL decodes a config block with the schema and gives the msgpack a driver receives.
func PackHCL(spec hcldec.Spec, text string) ([]byte, error) {
	file, diags := hclparse.NewParser().ParseHCL([]byte(text), "job.hcl")
	if diags.HasErrors() {
		return nil, diags
	}
	value, diags := hcldec.Decode(file.Body, spec, nil)
	if diags.HasErrors() {
		return nil, diags
	}
	return ctymsgpack.Marshal(value, value.Type())
}

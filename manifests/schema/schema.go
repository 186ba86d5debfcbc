// Package schema makes the JSON schema of a recipe from its types. It stands
// apart from manifests so that programs on hosts do not carry it.
package schema

import (
	"encoding/json"
	"reflect"

	"github.com/invopop/jsonschema"

	"github.com/proa-os/proa/manifests"
)

// Recipe is the JSON schema of a recipe, made from the types, for editors
// and for checks before a build. manifests.ParseRecipe knows rules that no schema says.
func Recipe() ([]byte, error) {
	reflector := jsonschema.Reflector{
		FieldNameTag:               "yaml",
		Anonymous:                  true,
		DoNotReference:             true,
		RequiredFromJSONSchemaTags: true,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			switch t {
			case reflect.TypeFor[manifests.Size]():
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
					{Type: "string", Pattern: `^[0-9]+ ?([KMGT]i?B?|kB|[MGT]B)?$`},
					{Type: "integer", Minimum: "1"},
				}}
			case reflect.TypeFor[manifests.Mode]():
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
					{Type: "string", Pattern: `^0[0-7]{1,4}$`},
					{Type: "integer"},
				}}
			case reflect.TypeFor[manifests.Statuses]():
				status := &jsonschema.Schema{Type: "integer", Minimum: "100", Maximum: "599"}
				one := uint64(1)
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{status, {Type: "array", Items: status, MinItems: &one}}}
			case reflect.TypeFor[manifests.Duration]():
				return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`}
			case reflect.TypeFor[manifests.Arch]():
				return &jsonschema.Schema{Type: "string", Enum: []any{manifests.AMD64, manifests.ARM64}}
			case reflect.TypeFor[manifests.Version]():
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}}}
			}
			return nil
		},
	}
	schema := reflector.Reflect(&manifests.Recipe{})
	schema.Title = "proa recipe"
	return json.MarshalIndent(schema, "", "  ")
}

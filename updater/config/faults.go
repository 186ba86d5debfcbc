package config

import (
	"errors"

	"github.com/proa-os/proa/manifests/strictyaml"
)

// FaultsOf is what is wrong with which file, as far as err says it; the order is that of the
// files.
func FaultsOf(err error) []*strictyaml.Faults {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*strictyaml.Faults
		for _, one := range several.Unwrap() {
			all = append(all, FaultsOf(one)...)
		}
		return all
	}
	var faults *strictyaml.Faults
	if errors.As(err, &faults) {
		return []*strictyaml.Faults{faults}
	}
	return nil
}

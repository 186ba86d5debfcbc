package manifests

import (
	"fmt"
	"path/filepath"
)

// ParseExtensionRecipe is ParseRecipe for the recipe of an extension, whose name
// is the product. What only a whole operating system has is a fault by its key.
func ParseExtensionRecipe(name string, data []byte) (Recipe, error) {
	r, doc := decodeRecipe(name, data)
	for _, key := range []string{
		"platform", "kernel", "slots", "esp", "var", "etc", "varEncryption", "secureBoot", "securityEpoch",
		"migrations", "extensions", "update", "health",
	} {
		if doc.Has(key) {
			doc.Fault(key, "%s: an extension has none, it belongs to the operating system", key)
		}
	}
	for i, s := range r.Sources {
		if s.Deb != nil || s.RPM != nil {
			at := fmt.Sprintf("sources[%d]", i)
			doc.Fault(at, "%s: an extension is made of archives, images and folders; packages would bring all that they depend on, and a database of what is installed", at)
		}
	}
	if r.Product != "" {
		if err := CheckExtensionName(r.Product); err != nil {
			doc.Fault("product", "product: %v", err)
		}
	}
	if err := doc.Err(); err != nil {
		return Recipe{}, err
	}
	return r, nil
}

func (r *Recipe) checkExtensions(fault func(path, format string, args ...any)) {
	if len(r.Extensions) > 0 && r.Update == nil {
		fault("extensions", "extensions: needs update: without it no agent is in the image to attach them")
	}
	if len(r.Extensions) > extensionsMost {
		fault("extensions", "extensions: %d of them: want at most %d", len(r.Extensions), extensionsMost)
	}
	for i, folder := range r.Extensions {
		if folder == "" || filepath.Clean(folder) == "." {
			fault("extensions", "extensions[%d] %q: want the folder of an extension that was built", i, clip(folder))
		}
	}
	if r.Fits != nil {
		if err := r.Fits.Check(); err != nil {
			fault("fits", "fits: %v", err)
		}
	}
}

package manifests

import (
	"strings"
	"testing"
)

func TestTheRecipeOfAnExtensionIsRead(t *testing.T) {
	r, err := ParseExtensionRecipe("recipe.yaml", []byte("product: debug\nsources: [{dir: overlay}]\nfits: {id: debian, versionId: \"12\"}\n"))
	if err != nil || r.Product != "debug" || r.Seed != "debug" || *r.Fits != (Fits{ID: "debian", VersionID: "12"}) {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestTheRecipeOfAnExtensionIsNotThatOfASystem(t *testing.T) {
	const recipe = "product: debug\nsources: [{dir: overlay}]\n"
	for more, want := range map[string]string{
		"kernel: {commandLine: [quiet]}":       "recipe.yaml:3:9: kernel: an extension has none",
		"esp: 256MiB":                          "3:6: esp: an extension has none",
		"health: []":                           "health: an extension has none",
		"slots: {root: 1GiB}":                  "slots: an extension has none",
		"fits: {id: debian}":                   "without versionId and level",
		"fits: {versionId: \"12\"}":            "id",
		"fits: {id: a, versionId: 'a b'}":      "printable ASCII",
		"var: 1GiB\nplatform: qemu\netc: what": "platform: an extension has none",
	} {
		if _, err := ParseExtensionRecipe("recipe.yaml", []byte(recipe+more+"\n")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v: want %q", more, err, want)
		}
	}
	long := strings.Replace(recipe, "debug", strings.Repeat("d", 41), 1)
	if _, err := ParseExtensionRecipe("recipe.yaml", []byte(long)); err == nil || !strings.Contains(err.Error(), "at most 40") {
		t.Errorf("a long name: %v", err)
	}
}

func TestExtensionsOfASystemNeedAnAgent(t *testing.T) {
	const recipe = "product: edge\nsources: [{dir: overlay}]\nextensions: [a, b/c]\n"
	const update = "update: {repository: https://os.example.org, root: root.json}\n"
	r, err := ParseRecipe("recipe.yaml", []byte(recipe+update))
	if err != nil || len(r.Extensions) != 2 {
		t.Fatalf("%+v, %v", r.Extensions, err)
	}
	if _, err := ParseRecipe("recipe.yaml", []byte(recipe)); err == nil || !strings.Contains(err.Error(), "extensions: needs update") {
		t.Errorf("without update: %v", err)
	}
	if _, err := ParseRecipe("recipe.yaml", []byte(strings.Replace(recipe, "b/c", `""`, 1)+update)); err == nil || !strings.Contains(err.Error(), "extensions[1]") {
		t.Errorf("an empty path: %v", err)
	}
}

package builder

import (
	"slices"
	"testing"

	"github.com/proa-os/proa/builder/initrd"
	"github.com/proa-os/proa/manifests"
)

func TestARecipeCanNameEveryPlatformAndNoOther(t *testing.T) {
	want := []string{string(manifests.PlatformQEMU), string(manifests.PlatformUEFI)}
	if got := initrd.Platforms(); !slices.Equal(got, want) {
		t.Errorf("the initrd knows %v, a recipe %v", got, want)
	}
}

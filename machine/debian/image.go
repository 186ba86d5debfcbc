package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/proa-os/proa/machine"
)

// ImageTag is the tag of the image in the layout folder that Image makes.
const ImageTag = "12"

// Image returns the path of an OCI layout folder with an image whose one layer
// is root, a path that Root returned. umoci makes it once, in a few seconds,
// and it is kept beside the root.
func Image(ctx context.Context, root string) (string, error) {
	path := root + ".oci"
	unlock, err := lock(ctx, path+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil || !errors.Is(err, os.ErrNotExist) {
		return path, err
	}
	program, err := exec.LookPath("umoci")
	if err != nil {
		return "", &machine.MissingError{What: "umoci", Looked: []string{"$PATH"}, Package: "umoci"}
	}
	partial := path + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", err
	}
	defer os.RemoveAll(partial)
	image := partial + ":" + ImageTag
	for _, args := range [][]string{
		{"init", "--layout", partial},
		{"new", "--image", image},
		{"raw", "add-layer", "--image", image, root},
	} {
		if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("making an image of %s: umoci %s: %w: %s", root, args[0], err, out)
		}
	}
	return path, os.Rename(partial, path)
}

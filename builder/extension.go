package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/proa-os/proa/builder/ddi"
	"github.com/proa-os/proa/builder/erofs"
	"github.com/proa-os/proa/builder/inventory"
	"github.com/proa-os/proa/builder/tree"
	"github.com/proa-os/proa/manifests"
)

// BuildExtension makes an extension of a kind from a recipe that
// manifests.ParseExtensionRecipe has read: its disk image, which systemd attaches
// as it is, the documents about it, and extension.json, which lists them. The
// output folder appears whole or not at all; Init and Agent of c are not used.
func BuildExtension(ctx context.Context, kind manifests.ExtensionKind, c Config) (manifests.BuiltExtension, error) {
	x := &extensionBuild{kind: kind}
	_, err := c.run(ctx, func(b *build) []step {
		x.build = b
		return []step{
			{"digest inputs", b.digestInputs},
			{"read sources", b.readSources},
			{"check tree", x.checkTree},
			{"say what it fits", x.sayFits},
			{"describe tree", b.describeTree},
			{"write disk image", x.writeImage},
			{"write documents", b.writeDocuments},
			{"digest artifacts", b.digestArtifacts},
			{"write provenance", b.writeProvenance},
			{"list artifacts", x.list},
			{"move into place", b.publish},
		}
	})
	return x.built, err
}

type extensionBuild struct {
	*build
	kind  manifests.ExtensionKind
	fits  manifests.Fits
	built manifests.BuiltExtension
}

// hierarchies are the folders that an extension of the kind adds to.
func hierarchies(kind manifests.ExtensionKind) []string {
	if kind == manifests.Confext {
		return []string{"etc"}
	}
	return []string{"opt", "usr"}
}

// checkTree refuses what systemd would not attach, what would be passed over in
// silence, and what would make another system of the one that it is attached to.
func (x *extensionBuild) checkTree(context.Context) error {
	within := hierarchies(x.kind)
	var outside []string
	files := 0
	err := x.tree.Walk(func(path string, n *tree.Node) error {
		top, _, _ := strings.Cut(path, "/")
		if path == "." {
			return nil
		}
		if !slices.Contains(within, top) || path == top && n.Kind != tree.Directory {
			outside = append(outside, path)
			return nil
		}
		if n.Kind != tree.Directory {
			files++
		}
		return x.checkNode(path, n)
	})
	if err != nil {
		return err
	}
	if n := len(outside); n > 0 {
		more := ""
		if n > 1 {
			more = fmt.Sprintf(" and %d more", n-1)
		}
		return fmt.Errorf("%s%s: a %s holds the folders %s and nothing else", outside[0], more, x.kind, strings.Join(within, " and "))
	}
	if files == 0 {
		return fmt.Errorf("the sources have nothing in %s", strings.Join(within, " and "))
	}
	return nil
}

func (x *extensionBuild) checkNode(path string, n *tree.Node) error {
	switch {
	case path == "usr/lib/os-release" || path == "etc/os-release":
		return fmt.Errorf("%s: systemd refuses an extension that says which system it is", path)
	case path == manifests.AgentPath || strings.HasPrefix(path, "usr/lib/proa/") && path != "usr/lib/proa/health.d" && !strings.HasPrefix(path, "usr/lib/proa/health.d/"):
		return fmt.Errorf("%s: it belongs to the release; of its folder an extension has usr/lib/proa/health.d at the most", path)
	case n.Kind != tree.Directory && (strings.HasPrefix(manifests.AgentPath, path+"/") || strings.HasPrefix("usr/lib/proa/health.d/", path+"/")):
		return fmt.Errorf("%s: it is in the place of a folder that the release has", path)
	case n.Kind == tree.CharDevice && n.Device == tree.Device{}:
		return fmt.Errorf("%s: a character device 0:0 would hide what the system has there", path)
	}
	for name := range n.Xattrs {
		if strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") {
			return fmt.Errorf("%s: the attribute %s would hide what the system has there", path, name)
		}
	}
	return nil
}

// sayFits writes the file by which systemd knows what the extension fits, or reads
// the one that the sources have.
func (x *extensionBuild) sayFits(context.Context) error {
	name := x.Recipe.Product
	path := x.kind.ReleaseFile(name)
	folder := path[:strings.LastIndexByte(path, '/')]
	if entries, err := x.tree.Children(folder); err == nil {
		for _, entry := range entries {
			if folder+"/"+entry != path {
				return fmt.Errorf("%s/%s: the extension is %s, and has the file %s alone there", folder, entry, name, path)
			}
		}
	}
	if _, ok := x.tree.Lookup(path); !ok {
		if x.Recipe.Fits == nil {
			return errors.New("the recipe has no fits, and the sources have no " + path + ": say which images the extension fits")
		}
		x.fits = *x.Recipe.Fits
		return x.putFile(path, x.releaseText(), 0o644)
	}
	text, err := x.tree.ReadFile(path, textMost)
	if err != nil {
		return err
	}
	keys := inventory.ParseOSRelease(string(text))
	x.fits = manifests.Fits{ID: keys["ID"], VersionID: keys["VERSION_ID"], Level: keys[levelKey(x.kind)]}
	if err := x.fits.Check(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if arch := keys["ARCHITECTURE"]; arch != "" && arch != architecture(x.Arch) {
		return fmt.Errorf("%s: ARCHITECTURE %s: want %s", path, arch, architecture(x.Arch))
	}
	if want := x.Recipe.Fits; want != nil && *want != x.fits {
		return fmt.Errorf("%s fits %v, and the recipe says %v", path, x.fits, *want)
	}
	return nil
}

// levelKey is the key of os-release(5) for an extension's level.
func levelKey(kind manifests.ExtensionKind) string { return strings.ToUpper(string(kind)) + "_LEVEL" }

// architecture is the name by which systemd knows an architecture (systemd.unit(5),
// ConditionArchitecture).
func architecture(a manifests.Arch) string {
	if a == manifests.ARM64 {
		return "arm64"
	}
	return "x86-64"
}

func (x *extensionBuild) releaseText() []byte {
	text := fmt.Appendf(nil, "ID=%s\n", x.fits.ID)
	for _, line := range []struct{ key, value string }{
		{"VERSION_ID", x.fits.VersionID}, {levelKey(x.kind), x.fits.Level}, {"ARCHITECTURE", architecture(x.Arch)},
	} {
		if line.value != "" {
			text = fmt.Appendf(text, "%s=%s\n", line.key, line.value)
		}
	}
	return text
}

// writeImage writes the tree as a disk image.
func (x *extensionBuild) writeImage(ctx context.Context) error {
	x.built.Name, x.built.Kind, x.built.Version = x.Recipe.Product, x.kind, x.Version
	file, err := os.OpenFile(x.path(x.built.Image()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	root, err := ddi.Create(ctx, file, ddi.Config{
		Arch: string(x.Arch),
		Seed: x.Recipe.Seed,
		Salt: Salt(x.Recipe.Seed),
		UUID: x.rootUUID(),
		Write: func(w io.Writer) (int64, error) {
			image, err := erofs.Write(ctx, w, x.tree, erofs.Config{UUID: x.rootUUID(), Epoch: x.Epoch, Progress: x.Progress})
			return image.Size, err
		},
	})
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	x.rootHash = root.Hash
	x.rootDigest = x.digest(ctx, x.built.Image())
	return nil
}

// list writes extension.json.
func (x *extensionBuild) list(context.Context) error {
	image, _ := manifests.Release{Artifacts: x.artifacts}.Artifact(x.built.Image())
	x.built.Schema, x.built.Size, x.built.Digest, x.built.RootHash = 1, image.Size, image.Digest, x.rootHash[:]
	x.built.Arch, x.built.Epoch, x.built.Fits, x.built.Artifacts = x.Arch, x.Epoch, x.fits, x.artifacts
	text, err := json.MarshalIndent(x.built, "", "  ")
	if err != nil {
		return err
	}
	if _, err := manifests.ParseBuiltExtension(text); err != nil {
		return err
	}
	return os.WriteFile(x.path(manifests.ExtensionFile), append(text, '\n'), 0o644)
}

package formats

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/proa-os/proa/builder/initrd"
	"github.com/proa-os/proa/builder/uki"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/partitions/cmdline"
	"github.com/proa-os/proa/regular"
)

// liveFolder is in the initrd of a live system; proa-init moves what is in it to
// /run/proa/live.
const liveFolder = "proa-live"

// units belong to live systems; proa-init copies them to /run/systemd/system.
//
//go:embed units
var units embed.FS

// assembleLive takes the release's kernel image apart, puts the installer and
// what it installs behind the initrd, and marks the command line. Where whole is
// true, the root image comes with them.
func (c *conversion) assembleLive(ctx context.Context, whole bool) (uki.Config, error) {
	image, err := regular.Read(c.release.path(manifests.UKIFile), kernelMost)
	if err != nil {
		return uki.Config{}, err
	}
	parts, err := takeApart(image)
	if err != nil {
		return uki.Config{}, fmt.Errorf("%s: %w", manifests.UKIFile, err)
	}
	if parts.CommandLine, err = liveCommandLine(parts.CommandLine, c.Words); err != nil {
		return uki.Config{}, err
	}
	packed, err := c.packLive(ctx, whole)
	if err != nil {
		return uki.Config{}, err
	}
	// The kernel unpacks one archive after the other; each begins at a multiple of
	// 4 (Documentation/driver-api/early-userspace/buffer-format.rst).
	parts.Initrd = append(parts.Initrd, make([]byte, -len(parts.Initrd)&3)...)
	parts.Initrd = append(parts.Initrd, packed...)
	return parts, nil
}

// assembleSigned joins the parts of a live system's kernel image.
func (c *conversion) assembleSigned(parts uki.Config) ([]byte, error) {
	image, err := uki.Assemble(parts)
	if err != nil || c.Sign == nil {
		return image, err
	}
	return c.Sign(image)
}

// takeApart gives what a kernel image was assembled from, but for the policy of its
// measurements, which are not those of another image.
func takeApart(image []byte) (uki.Config, error) {
	c, err := uki.Disassemble(image)
	c.PCRKey, c.PCRSignature = nil, nil
	return c, err
}

// liveCommandLine marks a release's command line, and adds words to it.
func liveCommandLine(line string, words []string) (string, error) {
	for _, word := range words {
		if len(strings.Fields(word)) != 1 || strings.TrimSpace(word) != word {
			return "", fmt.Errorf("kernel command line word %.80q: want one word", word)
		}
	}
	return cmdline.Join(append([]string{line, "proa.live"}, words...))
}

// packLive makes the archive of what a live system has besides the release.
func (c *conversion) packLive(ctx context.Context, whole bool) ([]byte, error) {
	var archive initrd.Archive
	archive.Folder(liveFolder)
	archive.File(liveFolder+"/proa", 0o755, c.Installer)
	names := []string{manifests.ReleaseFile, manifests.UKIFile, manifests.LoaderFile, manifests.LayoutFile}
	if whole {
		names = append(names, manifests.RootFile, manifests.VerityFile)
	}
	total := int64(len(c.Installer))
	for _, name := range names {
		file, info, err := regular.Open(c.release.path(name))
		if err != nil {
			return nil, err
		}
		defer file.Close()
		archive.Stream(liveFolder+"/"+name, 0o644, untilDone{ctx, file}, info.Size())
		total += info.Size()
	}
	if err := addUnits(&archive); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	compressor, err := newCompressor(&out)
	if err != nil {
		return nil, err
	}
	step := c.Progress.Step("pack live system", total)
	err = archive.Write(io.MultiWriter(compressor, stepWriter{step}))
	if err == nil {
		err = compressor.Close()
	}
	step.Done(err)
	return out.Bytes(), err
}

// stepWriter counts what is written.
type stepWriter struct{ step interface{ Add(int64) } }

func (s stepWriter) Write(p []byte) (int, error) {
	s.step.Add(int64(len(p)))
	return len(p), nil
}

// addUnits adds systemd's units of a live system, and the links that start them.
func addUnits(archive *initrd.Archive) error {
	folder := path.Join(liveFolder, "units")
	wants := path.Join(folder, "multi-user.target.wants")
	archive.Folder(folder)
	archive.Folder(wants)
	entries, err := units.ReadDir("units")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		content, err := units.ReadFile(path.Join("units", entry.Name()))
		if err != nil {
			return err
		}
		archive.File(path.Join(folder, entry.Name()), 0o644, content)
		archive.Link(path.Join(wants, entry.Name()), "../"+entry.Name())
	}
	return nil
}

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/builder/examine"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/formats"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/signing/secureboot"
)

type convertOptions struct {
	format    string
	output    string
	installer string
	words     []string
	force     bool
	signer    signerFlags
}

func newConvertCommand() *cobra.Command {
	var o convertOptions
	cmd := &cobra.Command{
		Use:   "convert RELEASE --format FORMAT [-o FILE]",
		Short: "Make an image for a cloud, a hypervisor or boot media of a release",
		Long: `Convert a release, a folder that 'proa build' made, to what machines and clouds take:

  raw      the disk, sparse
  raw.zst  the disk, compressed
  qcow2    QEMU, OpenStack, Proxmox; compressed
  vhd      Azure: of fixed size
  vmdk     VMware: stream-optimised
  ova      VMware and VirtualBox: a whole machine
  gce      Google Compute Engine: a tar.gz with a disk of whole GiB
  aws      Amazon EC2: raw, in whole GiB
  iso      a live system to start from a stick or a disc, with the installer
  pxe      the same to start from the network: a folder to serve

A live system runs the release from its medium, and changes no disk until it is told
to install. With --append "proa.install=auto" it installs itself, without a question.
For machines with Secure Boot, --keys, or --key and --cert, sign its kernel image,
as 'proa sign' signed the release's.
qemu-img writes qcow2, vhd, vmdk and ova, xorriso writes iso. The output appears
whole or not at all. The same release gives the same bytes with the same versions
of these programs.

Exit codes: 0 converted; 1 something went wrong; 2 the command line is wrong.`,
		Example: `  proa convert out/1.0.0 --format qcow2
  proa convert out/1.0.0 --format iso -o install.iso --append proa.install=auto
  proa convert out/1.0.0 --format pxe -o /srv/tftp/proa --json`,
		Args: cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.format, "format", "f", "", "what to convert to (required)")
	flags.StringVarP(&o.output, "output", "o", "", "file to make, for pxe a folder (default: beside the release)")
	flags.StringVar(&o.installer, "installer", "", "the proa program that installs from a live system (default: this one)")
	flags.StringArrayVar(&o.words, "append", nil, "a word more for a live system's kernel command line; can be repeated")
	flags.BoolVar(&o.force, "force", false, "replace what an earlier conversion made")
	o.signer.add(cmd)
	cli.CompleteWords(cmd, "format", formatNames()...)
	return cmd
}

func formatNames() []string {
	var names []string
	for _, f := range formats.All() {
		names = append(names, string(f))
	}
	return names
}

func (o convertOptions) run(cmd *cobra.Command, release string) error {
	if o.format == "" {
		return cli.Usage(cmd, errors.New("--format is missing: name what to convert to"))
	}
	format, err := formats.Parse(o.format)
	if err != nil {
		return cli.Usage(cmd, err)
	}
	result, err := o.convert(cmd, release, format)
	if err != nil {
		return err
	}
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), result)
	}
	return printConverted(cmd.OutOrStdout(), result)
}

// convert converts a release to one format.
func (o convertOptions) convert(cmd *cobra.Command, release string, format formats.Format) (formats.Result, error) {
	c := formats.Config{
		Release: release, Format: format, Output: o.output, Replace: o.force, Words: o.words, Progress: cli.Progress(cmd),
	}
	if c.Output == "" {
		c.Output = filepath.Clean(release) + format.Suffix()
	}
	if format.Live() {
		manifest, err := examine.ReadRelease(release)
		if err != nil {
			return formats.Result{}, convertHint(release, err)
		}
		if c.Installer, err = readInstaller(o.installer, manifest.Arch); err != nil {
			return formats.Result{}, err
		}
	}
	if o.signer.given() {
		signer, err := o.signer.open(cmd)
		if err != nil {
			return formats.Result{}, keyHint(err)
		}
		c.Sign = func(program []byte) ([]byte, error) { return secureboot.Sign(program, signer) }
	}
	result, err := formats.Convert(cmd.Context(), c)
	return result, convertHint(release, err)
}

// readInstaller reads the program that installs from a live system: the one at
// path, or else this one, for another architecture the one beside it.
func readInstaller(path string, arch manifests.Arch) ([]byte, error) {
	if path != "" {
		return readProgram(path, "proa", arch)
	}
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if arch != manifests.HostArch() {
		path = filepath.Join(filepath.Dir(path), string(arch), "proa")
		if _, err := os.Stat(path); err != nil {
			return nil, cli.Hint(err, fmt.Sprintf("compile it with 'GOARCH=%s go build -o %s ./cmd/proa', or name it with --installer", arch, path))
		}
	}
	return readProgram(path, "proa", arch)
}

func convertHint(release string, err error) error {
	var missing *formats.MissingError
	switch {
	case errors.As(err, &missing):
		return cli.Hint(err, fmt.Sprintf("install %s, which the Debian package %s brings", missing.Program, missing.Package))
	case errors.Is(err, formats.ErrExists):
		return cli.Hint(err, "choose another name with -o, or replace what an earlier conversion made with --force")
	case errors.Is(err, examine.ErrNoRelease):
		return cli.Hint(fmt.Errorf("%s: %w", release, err), "name a folder that 'proa build' made")
	}
	return err
}

func printConverted(w io.Writer, r formats.Result) error {
	out := &linePrinter{w: w}
	for _, f := range r.Files {
		out.print("%-15s %13d bytes  %s", f.Name, f.Size, f.Digest)
	}
	if r.Format == formats.PXE {
		out.print("in %s", r.Path)
		return out.err
	}
	out.print("in %s", filepath.Dir(r.Path))
	return out.err
}

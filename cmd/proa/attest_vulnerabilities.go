package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/builder/examine"
	"github.com/proa-os/proa/builder/vulnerabilities"
	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/regular"
	"github.com/proa-os/proa/repository"
)

const (
	sbomMost     = 512 << 20 // bytes of a bill of materials
	advisoryMost = 16 << 20  // bytes of an advisory
)

func newAttestVulnerabilitiesCommand() *cobra.Command {
	var f statementFlags
	var of, product, arch string
	var osv []string
	cmd := &cobra.Command{
		Use:   "vulnerabilities --of RELEASE --osv PATH... --key KEY -o FILE",
		Short: "Look up the packages of a release in advisories, and attest what is found",
		Long: `Look up the packages in the bill of materials of a release in advisories of the OSV
format, and attest which known vulnerabilities it has. It finds nothing out by itself
and asks no network: the advisories are files, folders of them, or archives such as
https://osv-vulnerabilities.storage.googleapis.com/Debian/all.zip.

RELEASE is REPOSITORY#VERSION, or a folder that 'proa build' or 'proa sign' made.
Packages of Debian and of distributions with RPM are compared, by their source
packages. Do it anew each day: hosts may want a scan that is not old.`,
		Example: `  proa attest vulnerabilities --of repo#1.1.0 --osv all.zip --key scanner.pem -o scan.json
  proa repo attach 1.1.0 scan.json`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			switch {
			case of == "":
				err = errors.New("no release: name it with --of")
			case len(osv) == 0:
				err = errors.New("no advisories: name files, folders or archives of them with --osv")
			case product != "":
				err = manifests.CheckName("product", product)
			}
			if err == nil && arch != "" {
				_, err = manifests.ParseArch(arch)
			}
			if err != nil {
				return cli.Usage(cmd, err)
			}
			keys, err := f.open(cmd.Context(), cmd)
			if err != nil {
				return err
			}
			started := time.Now().UTC().Truncate(time.Second)
			digest, sbom, err := readBill(of, product, manifests.Arch(arch))
			if err != nil {
				return repoHint(fmt.Errorf("--of %.200q: %w", of, err))
			}
			packages, err := vulnerabilities.Packages(sbom)
			if err != nil {
				return err
			}
			search := vulnerabilities.NewSearch(packages)
			for _, path := range osv {
				if err := readAdvisories(cmd.Context(), search, path); err != nil {
					return fmt.Errorf("--osv %.200q: %w", path, err)
				}
			}
			if search.Advisories == 0 {
				return fmt.Errorf("--osv %.200q: no advisory is there", osv[0])
			}
			if unknown := search.Unknown(); len(unknown) > 0 {
				err := fmt.Errorf("no advisory is about %.200q, of which the packages are", strings.Join(unknown, ", "))
				return cli.Hint(err, "name advisories of that distribution with --osv")
			}
			scan := manifests.Scan{
				Scanner: manifests.Scanner{
					URI: "https://github.com/proa-os/proa", Version: cli.Version,
					DB: manifests.ScannerDB{LastUpdate: search.Newest.UTC()}, Result: search.Findings(),
				},
				Metadata: manifests.ScanMetadata{Started: started, Finished: time.Now().UTC().Truncate(time.Second)},
			}
			statement, err := scan.Statement(digest, manifests.DigestOf(sbom))
			if err == nil {
				err = f.write(statement, keys)
			}
			if err != nil {
				return err
			}
			return printScan(cmd, of, scan, len(packages), search.Advisories)
		},
	}
	cmd.Flags().StringVar(&of, "of", "", "the release, as it was published: REPOSITORY#VERSION or a folder (required)")
	cmd.Flags().StringArrayVar(&osv, "osv", nil, "advisories: a file, a folder or a .zip of them; can be repeated (required)")
	cmd.Flags().StringVar(&product, "product", "", "product of the release (default: the only one of that version)")
	cmd.Flags().StringVar(&arch, "arch", "", "architecture of the release (default: the only one of that version)")
	f.add(cmd)
	cli.CompleteFolder(cmd, "of")
	return cmd
}

func printScan(cmd *cobra.Command, of string, scan manifests.Scan, packages, advisories int) error {
	if cli.JSON(cmd) {
		return cli.PrintJSON(cmd.OutOrStdout(), struct {
			Packages   int `json:"packages"`
			Advisories int `json:"advisories"`
			manifests.Scan
		}{packages, advisories, scan})
	}
	out := &linePrinter{w: cmd.OutOrStdout()}
	for _, finding := range scan.Scanner.Result {
		out.print("%s", inALine(finding.ID))
	}
	out.print("%s: %d known vulnerabilities, of %d source packages in %d advisories to %s", of,
		len(scan.Scanner.Result), packages, advisories, scan.Scanner.DB.LastUpdate.Format(time.DateOnly))
	return out.err
}

// readBill reads the bill of materials of a release, and the digest of its release.json.
func readBill(place, product string, arch manifests.Arch) (manifests.Digest, []byte, error) {
	if cut := strings.LastIndexByte(place, '#'); cut >= 0 && !exists(place) {
		version, err := manifests.ParseVersion(place[cut+1:])
		if err != nil {
			return manifests.Digest{}, nil, err
		}
		config := repository.ExtractConfig{Dir: place[:cut], Version: version, Product: product, Arch: arch}
		_, digest, err := repository.Find(config)
		if err != nil {
			return manifests.Digest{}, nil, err
		}
		_, sbom, err := repository.Kept(config, manifests.SBOMFile, sbomMost)
		return digest, sbom, err
	}
	release, err := examine.ReadRelease(place)
	if err != nil {
		return manifests.Digest{}, nil, err
	}
	text, err := regular.Read(filepath.Join(place, manifests.ReleaseFile), manifests.DocumentMost)
	if err != nil {
		return manifests.Digest{}, nil, err
	}
	sbom, err := regular.Read(filepath.Join(place, manifests.SBOMFile), sbomMost)
	if err != nil {
		return manifests.Digest{}, nil, err
	}
	if a, ok := release.Artifact(manifests.SBOMFile); !ok || a.Digest != manifests.DigestOf(sbom) {
		return manifests.Digest{}, nil, fmt.Errorf("%s is not what the release lists", manifests.SBOMFile)
	}
	return manifests.DigestOf(text), sbom, nil
}

// readAdvisories reads a file, all *.json below a folder, or all of a zip archive.
func readAdvisories(ctx context.Context, search *vulnerabilities.Search, path string) error {
	if filepath.Ext(path) == ".zip" {
		return readArchive(ctx, search, path)
	}
	return filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || entry.IsDir() || name != path && filepath.Ext(name) != ".json" {
			return err
		}
		text, err := regular.Read(name, advisoryMost)
		if err == nil {
			err = search.Add(text)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

func readArchive(ctx context.Context, search *vulnerabilities.Search, path string) error {
	archive, err := zip.OpenReader(path)
	if err != nil {
		return err
	}
	defer archive.Close()
	for _, file := range archive.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		if filepath.Ext(file.Name) != ".json" {
			continue
		}
		in, err := file.Open()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(io.LimitReader(in, advisoryMost+1))
		in.Close()
		if err == nil && len(text) > advisoryMost {
			err = fmt.Errorf("want at most %d bytes", advisoryMost)
		}
		if err == nil {
			err = search.Add(text)
		}
		if err != nil {
			return fmt.Errorf("%.200q: %w", file.Name, err)
		}
	}
	return nil
}

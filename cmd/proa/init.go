package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/manifests"
	"github.com/proa-os/proa/manifests/schema"
)

//go:embed init.yaml
var initialRecipe string

const schemaFile = "recipe.schema.json"

func newInitCommand() *cobra.Command {
	var product string
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a commented recipe to start from",
		Long: `Write a commented recipe.yaml into a folder, by default the current one, with
the JSON schema that editors check it by and a folder for overlay files. Nothing
that exists is overwritten.`,
		Example: "  proa init edge --product edge-gateway",
		Args:    cli.MaximumArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			name, err := productName(product, dir)
			if err != nil {
				return cli.Usage(cmd, err)
			}
			if err := writeInitial(dir, name); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s\n", filepath.Join(dir, manifests.RecipeFile))
			return err
		},
	}
	cmd.Flags().StringVar(&product, "product", "", "name of the operating system (default: the folder's name)")
	return cmd
}

func productName(given, dir string) (string, error) {
	if given == "" {
		absolute, err := filepath.Abs(dir)
		if err != nil {
			return "", err
		}
		given = strings.ToLower(filepath.Base(absolute))
	}
	return given, manifests.CheckName("product", given)
}

func writeInitial(dir, product string) error {
	if err := os.MkdirAll(filepath.Join(dir, "overlay"), 0o755); err != nil {
		return err
	}
	document, err := schema.Recipe()
	if err != nil {
		return err
	}
	recipe := strings.Replace(initialRecipe, "product: example", "product: "+product, 1)
	for _, file := range []struct {
		name    string
		content []byte
	}{
		{schemaFile, append(document, '\n')},
		{manifests.RecipeFile, []byte(recipe)},
	} {
		path := filepath.Join(dir, file.name)
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			if file.name == schemaFile {
				continue
			}
			return cli.Hint(fmt.Errorf("%s exists already", path), "name another folder, or edit the recipe that is there")
		}
		if err != nil {
			return err
		}
		if _, err := f.Write(file.content); err != nil {
			f.Close()
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

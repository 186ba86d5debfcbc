package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/proa-os/proa/cmd/internal/cli"
	"github.com/proa-os/proa/durable"
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
			recipe := filepath.Join(dir, manifests.RecipeFile)
			if cli.JSON(cmd) {
				return cli.PrintJSON(cmd.OutOrStdout(), map[string]string{"recipe": recipe, "schema": filepath.Join(dir, schemaFile)})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s\n", recipe)
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

// writeInitial writes the recipe last, so that a folder with a recipe in it has
// everything.
func writeInitial(dir, product string) error {
	recipe := filepath.Join(dir, manifests.RecipeFile)
	if _, err := os.Lstat(recipe); err == nil {
		return cli.Hint(fmt.Errorf("%s exists already", recipe), "name another folder, or edit the recipe that is there")
	}
	if err := os.MkdirAll(filepath.Join(dir, "overlay"), 0o755); err != nil {
		return err
	}
	document, err := schema.Recipe()
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(dir, schemaFile), append(document, '\n'), 0o644); err != nil {
		return err
	}
	text := strings.Replace(initialRecipe, "product: example", "product: "+product, 1)
	return durable.WriteFile(recipe, []byte(text), 0o644)
}

package main

import (
	"github.com/spf13/cobra"
)

// completeRecipe offers recipes: YAML files, and folders by walking into them.
func completeRecipe(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// completeLock offers recipes, and with --update what the lock here has.
func completeLock(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if update, err := cmd.Flags().GetBool("update"); err != nil || !update {
		return completeRecipe(cmd, args, word)
	}
	path := "."
	if len(args) > 0 && isRecipe(args[0]) {
		path = args[0]
	}
	r, err := readRecipe(path)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var names []string
	for _, in := range r.lock.Inputs {
		for _, p := range in.Packages {
			names = append(names, p.Name)
		}
		if in.Image != nil {
			names = append(names, in.Path)
		}
	}
	return names, cobra.ShellCompDirectiveDefault
}

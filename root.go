// SPDX-License-Identifier: Apache-2.0

package main

// This file: the command tree, the one place that turns errors into exit
// statuses, and what every command writes through.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit statuses (design.md 8).
const (
	exitOK     = 0
	exitFailed = 1
	exitMisuse = 2
)

// errMisuse marks an error of the caller: exit status 2 and a hint at --help.
var errMisuse = errors.New("misuse")

// errQuiet says that the command failed and has already said why on standard
// output, as `audit verify` does.
var errQuiet = errors.New("failed")

// misuse words an error of the caller.
func misuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMisuse, fmt.Sprintf(format, args...))
}

// run is the whole program. SIGINT and SIGTERM cancel the command's context;
// a second one ends the process at once.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return runContext(ctx, args, stdin, stdout, stderr)
}

// runContext is run for a caller that has its own way to stop it.
func runContext(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errQuiet):
		return exitFailed
	case errors.Is(err, errMisuse):
		fmt.Fprintf(stderr, "sepsisagent: %s\nTry --help.\n", strings.TrimPrefix(err.Error(), errMisuse.Error()+": "))
		return exitMisuse
	default:
		fmt.Fprintf(stderr, "sepsisagent: %v\n", err)
		return exitFailed
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "sepsisagent",
		Short:         "Clinical decision support for sepsis in the ICU, over CDS Hooks",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
		RunE:          needSubcommand,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misuse("%v", err) })
	// Flags that exclude each other are checked here, because cobra's own check does
	// not go through the function above.
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := cmd.ValidateFlagGroups(); err != nil {
			return misuse("%v", err)
		}
		return nil
	}
	root.AddCommand(commands()...)
	return root
}

// noArgs and needSubcommand make a wrong or missing subcommand a misuse.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return misuse("unknown command or argument %q for %q", args[0], cmd.CommandPath())
	}
	return nil
}

func needSubcommand(cmd *cobra.Command, _ []string) error {
	names := make([]string, 0, len(cmd.Commands()))
	for _, c := range cmd.Commands() {
		if !c.Hidden && c.Name() != "help" {
			names = append(names, c.Name())
		}
	}
	return misuse("%s needs a command: %s", cmd.CommandPath(), strings.Join(names, ", "))
}

// group makes a command that only holds others.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noArgs, RunE: needSubcommand}
	c.AddCommand(subs...)
	return c
}

// require makes a missing flag a misuse that names all missing ones.
func require(cmd *cobra.Command, names ...string) error {
	var missing []string
	for _, n := range names {
		if !cmd.Flags().Changed(n) {
			missing = append(missing, "--"+n)
		}
	}
	if len(missing) > 0 {
		return misuse("%s needs %s", cmd.CommandPath(), strings.Join(missing, " and "))
	}
	return nil
}

// printJSON writes one indented object and nothing else.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// version is the module version or the commit the binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

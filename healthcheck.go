// SPDX-License-Identifier: Apache-2.0

package main

// This file: `healthcheck`, for container images that hold nothing but this
// binary: it asks the running service whether it is alive.

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"
)

const healthTimeout = 2 * time.Second

func healthcheck() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "Ask the running service whether it is alive", Args: noArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(config, os.Environ())
			if err != nil {
				return err
			}
			return probe(cmd.Context(), cfg.HTTP)
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration file")
	return cmd
}

// probe asks for /healthz on the address the service listens on, over the
// loopback where it listens on every address.
func probe(ctx context.Context, cfg HTTPConfig) error {
	host, port, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		return fmt.Errorf("http.addr: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme, client := "http", http.DefaultClient
	if cfg.TLS.enabled() {
		own, err := cfg.TLS.expect()
		if err != nil {
			return err
		}
		scheme, client = "https", &http.Client{Transport: &http.Transport{TLSClientConfig: own, DisableKeepAlives: true}}
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("not alive: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not alive: /healthz answers %s", resp.Status)
	}
	return nil
}

// SPDX-License-Identifier: Apache-2.0

package main

// This file: the service's own TLS, for a site without a proxy that ends it.

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sepsisagent/sepsisagent/configs"
)

// TLSConfig names the certificate that the service shows. Both files or none.
type TLSConfig struct {
	// CertFile holds the certificate and those between it and its root, PEM.
	// Read again on SIGHUP and on a change. Empty: no TLS, for loopback or
	// behind a proxy that ends it.
	CertFile string `yaml:"cert_file"`
	// KeyFile holds its private key, PEM, mode 0600 or 0440. Whoever has it can
	// pose as this service.
	KeyFile string `yaml:"key_file"`
}

// enabled reports that there is a certificate.
func (c TLSConfig) enabled() bool { return c.CertFile != "" || c.KeyFile != "" }

// expect accepts the service's own certificate and no other, whatever name it
// is reached by: the health check calls it by its address.
func (c TLSConfig) expect() (*tls.Config, error) {
	data, err := os.ReadFile(c.CertFile)
	if err != nil {
		return nil, fmt.Errorf("http.tls.cert_file: %w", err)
	}
	roots := x509.NewCertPool()
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("http.tls.cert_file: %s holds no PEM", c.CertFile)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("http.tls.cert_file: %w", err)
	}
	roots.AddCert(leaf)
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: leaf.Subject.CommonName}
	switch {
	case len(leaf.DNSNames) > 0:
		config.ServerName = strings.Replace(leaf.DNSNames[0], "*", "any", 1)
	case len(leaf.IPAddresses) > 0:
		config.ServerName = leaf.IPAddresses[0].String()
	}
	return config, nil
}

// certificate is the one in use. It is safe for concurrent use.
type certificate struct {
	files TLSConfig

	mu        sync.RWMutex
	current   *tls.Certificate
	cert, key []byte // as last read, to see a change
}

// openCertificate reads the certificate and its key.
func openCertificate(files TLSConfig) (*certificate, error) {
	c := &certificate{files: files}
	if _, err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// reload reads both files again. A pair that does not fit, or that has expired,
// is an error, and the one in use stays: renewal writes two files, and the
// watch may come between them.
func (c *certificate) reload() (changed bool, err error) {
	cert, err := os.ReadFile(c.files.CertFile)
	if err != nil {
		return false, fmt.Errorf("http.tls.cert_file: %w", err)
	}
	key, err := configs.ReadSecret(c.files.KeyFile)
	if err != nil {
		return false, fmt.Errorf("http.tls.key_file: %w", err)
	}
	c.mu.RLock()
	same := bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key)
	c.mu.RUnlock()
	if same {
		return false, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return false, fmt.Errorf("http.tls: %w (hint: both files have to be of one certificate, in PEM)", err)
	}
	if time.Now().After(pair.Leaf.NotAfter) {
		return false, fmt.Errorf("http.tls.cert_file: the certificate expired at %s", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current, c.cert, c.key = &pair, cert, key
	return true, nil
}

// config is TLS 1.2 or later with the certificate of the moment. The ciphers
// are Go's, which has no weak ones.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		c.mu.RLock()
		defer c.mu.RUnlock()
		if c.current == nil {
			return nil, errors.New("no certificate")
		}
		return c.current, nil
	}}
}

// expires is when the certificate in use ends.
func (c *certificate) expires() time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.current.Leaf.NotAfter
}

// reloads is the certificate as one of the things that are read again.
func (c *certificate) reloads() []reloaded {
	if c == nil {
		return nil
	}
	return []reloaded{{what: "certificate", reload: c.reload, now: func() zap.Field { return zap.Time("expires", c.expires()) }}}
}

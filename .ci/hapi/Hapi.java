// SPDX-License-Identifier: Apache-2.0

import ca.uhn.fhir.batch2.api.IJobMaintenanceService;
import ca.uhn.fhir.batch2.jobs.config.Batch2JobsConfig;
import ca.uhn.fhir.batch2.jobs.export.BulkDataExportProvider;
import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.context.support.IValidationSupport;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.config.ThreadPoolFactoryConfig;
import ca.uhn.fhir.jpa.api.dao.IFhirSystemDao;
import ca.uhn.fhir.jpa.batch2.JpaBatch2Config;
import ca.uhn.fhir.jpa.binary.api.IBinaryStorageSvc;
import ca.uhn.fhir.jpa.binary.provider.BinaryAccessProvider;
import ca.uhn.fhir.jpa.binstore.DatabaseBinaryContentStorageSvcImpl;
import ca.uhn.fhir.jpa.config.HapiJpaConfig;
import ca.uhn.fhir.jpa.config.r4.JpaR4Config;
import ca.uhn.fhir.jpa.config.util.HapiEntityManagerFactoryUtil;
import ca.uhn.fhir.jpa.model.config.PartitionSettings;
import ca.uhn.fhir.jpa.model.config.SubscriptionSettings;
import ca.uhn.fhir.jpa.model.dialect.HapiFhirH2Dialect;
import ca.uhn.fhir.jpa.provider.IJpaSystemProvider;
import ca.uhn.fhir.jpa.provider.JpaCapabilityStatementProvider;
import ca.uhn.fhir.jpa.search.DatabaseBackedPagingProvider;
import ca.uhn.fhir.jpa.subscription.channel.config.SubscriptionChannelConfig;
import ca.uhn.fhir.rest.server.RestfulServer;
import ca.uhn.fhir.rest.server.provider.ResourceProviderFactory;
import ca.uhn.fhir.rest.server.util.ISearchParamRegistry;
import jakarta.persistence.EntityManagerFactory;
import java.io.IOException;
import java.io.OutputStream;
import java.util.Properties;
import javax.sql.DataSource;
import org.apache.commons.dbcp2.BasicDataSource;
import org.eclipse.jetty.ee10.servlet.ServletContextHandler;
import org.eclipse.jetty.ee10.servlet.ServletHolder;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.context.annotation.Primary;
import org.springframework.orm.jpa.JpaTransactionManager;
import org.springframework.orm.jpa.LocalContainerEntityManagerFactoryBean;

/**
 * A HAPI FHIR R4 JPA server in memory, for tests against a server that is not
 * ours: {@code java -cp ... Hapi PORT}. It listens on loopback only, keeps
 * nothing, and serves reads, writes, searches with paging, validation, history
 * and bulk export under /fhir.
 */
public final class Hapi {
	public static void main(String[] args) throws Exception {
		endWithStandardInput();
		var context = new AnnotationConfigApplicationContext(Parts.class);
		Server jetty = new Server();
		ServerConnector connector = new ServerConnector(jetty);
		connector.setHost("127.0.0.1");
		jetty.addConnector(connector);
		ServletContextHandler root = new ServletContextHandler("/");
		ServletHolder fhir = new ServletHolder(fhirServer(context));
		fhir.setInitOrder(1); // a server that cannot start shall not say that it is ready
		root.addServlet(fhir, "/fhir/*");
		jetty.setHandler(root);
		jetty.start();
		lookAfterJobs(context.getBean(IJobMaintenanceService.class));
		System.out.println("ready http://127.0.0.1:" + connector.getLocalPort() + "/fhir");
		jetty.join();
	}

	/** Ends the process with whoever started it, even where that one was killed. */
	private static void endWithStandardInput() {
		Thread watcher = new Thread(() -> {
			try {
				System.in.transferTo(OutputStream.nullOutputStream());
			} catch (IOException e) {
				// the same as the end
			}
			Runtime.getRuntime().halt(0);
		});
		watcher.setDaemon(true);
		watcher.start();
	}

	/**
	 * Moves bulk exports on every second. HAPI does it once a minute, and an
	 * export needs three or four turns.
	 */
	private static void lookAfterJobs(IJobMaintenanceService jobs) {
		Thread keeper = new Thread(() -> {
			try {
				for (;;) {
					Thread.sleep(1000);
					jobs.runMaintenancePass();
				}
			} catch (InterruptedException e) {
				// the end
			}
		});
		keeper.setDaemon(true);
		keeper.start();
	}

	private static RestfulServer fhirServer(AnnotationConfigApplicationContext context) {
		RestfulServer server = new RestfulServer(context.getBean(FhirContext.class));
		server.registerProviders(context.getBean(ResourceProviderFactory.class).createProviders());
		server.registerProvider(context.getBean(IJpaSystemProvider.class));
		server.registerProvider(context.getBean(BulkDataExportProvider.class));
		server.registerProvider(context.getBean(BinaryAccessProvider.class));
		server.setPagingProvider(context.getBean(DatabaseBackedPagingProvider.class));
		server.setServerConformanceProvider(new JpaCapabilityStatementProvider(
				server, context.getBean(IFhirSystemDao.class), context.getBean(JpaStorageSettings.class),
				context.getBean(ISearchParamRegistry.class), context.getBean(IValidationSupport.class)));
		return server;
	}

	/** What the JPA server needs beside its own configuration classes. */
	@Configuration
	@Import({
		JpaR4Config.class,
		HapiJpaConfig.class,
		JpaBatch2Config.class,
		Batch2JobsConfig.class,
		SubscriptionChannelConfig.class,
		ThreadPoolFactoryConfig.class,
	})
	public static class Parts {
		/** Ids are the client's; references may lead to what is not loaded, as in any extract. */
		@Bean
		public JpaStorageSettings storageSettings() {
			JpaStorageSettings s = new JpaStorageSettings();
			s.setResourceClientIdStrategy(JpaStorageSettings.ClientIdStrategyEnum.ANY);
			s.setResourceServerIdStrategy(JpaStorageSettings.IdStrategyEnum.UUID);
			s.setEnforceReferentialIntegrityOnWrite(false);
			s.setEnforceReferentialIntegrityOnDelete(false);
			s.setAllowExternalReferences(true);
			s.setReuseCachedSearchResultsForMillis(null);
			s.setHibernateSearchIndexFullText(false);
			return s;
		}

		@Bean
		public PartitionSettings partitionSettings() {
			return new PartitionSettings();
		}

		@Bean
		public SubscriptionSettings subscriptionSettings() {
			return new SubscriptionSettings();
		}

		@Bean
		public IBinaryStorageSvc binaryStorage() {
			return new DatabaseBinaryContentStorageSvcImpl();
		}

		@Bean
		public DataSource dataSource() {
			BasicDataSource d = new BasicDataSource();
			d.setUrl("jdbc:h2:mem:hapi;DB_CLOSE_DELAY=-1");
			d.setUsername("sa");
			d.setPassword("");
			d.setMaxTotal(20);
			return d;
		}

		@Primary
		@Bean
		public LocalContainerEntityManagerFactoryBean entityManagerFactory(
				ConfigurableListableBeanFactory beans, FhirContext context, JpaStorageSettings settings, DataSource source) {
			var f = HapiEntityManagerFactoryUtil.newEntityManagerFactory(beans, context, settings);
			f.setPersistenceUnitName("hapi");
			f.setDataSource(source);
			Properties p = new Properties();
			p.put("hibernate.dialect", HapiFhirH2Dialect.class.getName());
			p.put("hibernate.hbm2ddl.auto", "create");
			p.put("hibernate.search.enabled", "false");
			p.put("hibernate.jdbc.batch_size", "50");
			f.setJpaProperties(p);
			return f;
		}

		@Primary
		@Bean
		public JpaTransactionManager transactionManager(EntityManagerFactory factory) {
			return new JpaTransactionManager(factory);
		}
	}
}

import ca.uhn.fhir.context.FhirContext;
import ca.uhn.fhir.jpa.api.config.JpaStorageSettings;
import ca.uhn.fhir.jpa.api.dao.DaoRegistry;
import ca.uhn.fhir.jpa.test.config.TestHSearchAddInConfig;
import ca.uhn.fhir.jpa.test.config.TestR4Config;
import ca.uhn.fhir.parser.DataFormatException;
import ca.uhn.fhir.parser.IParser;
import ca.uhn.fhir.rest.api.server.SystemRequestDetails;
import ca.uhn.fhir.rest.server.exceptions.BaseServerResponseException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import org.hl7.fhir.r4.model.Bundle;
import org.hl7.fhir.r4.model.IdType;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;

/**
 * Gives transaction Bundles (one a line) to HAPI FHIR's JPA server on an empty database in memory, set as
 * deploy/hapi.yaml sets it. Writes a line for each: refused TAB reason, or held TAB url TAB before TAB after
 * for every entry that has an id.
 */
public class Transactions {
  public static void main(String[] args) throws Exception {
    try (var out = new PrintStream(Files.newOutputStream(Path.of(args[1])), true, "UTF-8");
        var spring = new AnnotationConfigApplicationContext(TestR4Config.class, TestHSearchAddInConfig.NoFT.class)) {
      spring.getBean(JpaStorageSettings.class).setEnforceReferentialIntegrityOnWrite(false);
      var daos = spring.getBean(DaoRegistry.class);
      IParser json = spring.getBean(FhirContext.class).newJsonParser();
      for (String line : Files.readAllLines(Path.of(args[0]))) {
        try {
          Bundle bundle = json.parseResource(Bundle.class, line);
          var urls = bundle.getEntry().stream().map(e -> new IdType(e.getRequest().getUrl()))
              .filter(id -> id.hasIdPart() && id.hasResourceType()).toList();
          var before = urls.stream().map(id -> held(daos, json, id)).toList();
          daos.getSystemDao().transaction(new SystemRequestDetails(), bundle);
          for (int i = 0; i < urls.size(); i++) {
            out.print("held\t" + urls.get(i).getValue() + "\t" + before.get(i) + "\t" + held(daos, json, urls.get(i)) + "\t");
          }
          out.println();
        } catch (BaseServerResponseException | DataFormatException error) {
          out.println("refused\t" + error.getMessage().replaceAll("\\s+", " "));
        }
      }
    }
    System.exit(0);
  }

  private static String held(DaoRegistry daos, IParser json, IdType id) {
    try {
      return json.encodeResourceToString(
          daos.getResourceDao(id.getResourceType()).read(id, new SystemRequestDetails()));
    } catch (BaseServerResponseException absent) {
      return "null";
    }
  }
}
